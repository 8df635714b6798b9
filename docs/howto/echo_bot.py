import asyncio
import os

from node.client import CardChanged, Client, Entry


async def main(url: str, token: str) -> None:
    async with Client.connect(url, token=token) as me:
        async for event in me.events():
            if isinstance(event, CardChanged) and event.card.state == "invited":
                await me.accept(event.card.room)
            if isinstance(event, Entry) and event.kind == "text" and event.author != me.user:
                await me.reply(event, event.text)


if __name__ == "__main__":
    asyncio.run(main(os.environ["STARTALK_URL"], os.environ["STARTALK_TOKEN"]))

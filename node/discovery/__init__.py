"""Who is where: mDNS, well-known, DNS, DHT. The door is reserved; the next milestone builds it."""

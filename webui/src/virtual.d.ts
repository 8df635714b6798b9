declare module 'virtual:icons' {
  const icons: Record<string, [tag: string, attributes: Record<string, string>][]>;
  export default icons;
}
declare module 'virtual:icons/call' {
  export { default } from 'virtual:icons';
}

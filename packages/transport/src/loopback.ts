/** Whether an address of a socket is of this machine itself, in whatever form Node gives it. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address);
}

/** Waits for real processes and sockets, where a clock cannot be injected. */
interface EventuallyOptions {
  /** Give up after this long. Default 5000. */
  timeoutMs?: number;
  intervalMs?: number;
}

/**
 * Repeats `probe` until it neither throws nor returns false or undefined, and returns its value.
 * @throws the last error, or one that says what was awaited, when the time is up.
 */
export async function eventually<Value>(
  what: string,
  probe: () => Value | Promise<Value>,
  { timeoutMs = 5000, intervalMs = 20 }: EventuallyOptions = {},
): Promise<Exclude<Awaited<Value>, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown = new Error(`not true within ${timeoutMs} ms: ${what}`);
    try {
      const value = await probe();
      if (value !== false && value !== undefined) return value as Exclude<Awaited<Value>, false | undefined>;
    } catch (thrown) {
      failure = thrown;
    }
    if (performance.now() >= deadline) {
      throw new Error(`not true within ${timeoutMs} ms: ${what}`, { cause: failure });
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

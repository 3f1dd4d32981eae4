// Waiting in tests: for what is to happen, with a limit that only a broken program reaches.

export const PATIENCE = 60_000;

export const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** Waits until `holds` says so. */
export async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await pause(10);
  }
}

/** A promise with its ends outside. */
export function gate<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

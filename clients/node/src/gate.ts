// A counted gate: at most so many inside, the others let in by their turn.

export class Gate {
  #inside = 0;
  readonly #line: (() => void)[] = [];

  constructor(readonly places: number) {}

  /** Waits for a place, undefined if there is one; each `enter` needs a `leave`. An aborted signal lets in at once, so that nobody is left in line. */
  enter(signal: AbortSignal): Promise<void> | undefined {
    if (this.#inside++ < this.places || signal.aborted) return undefined;
    return new Promise<void>((resolve) => {
      const go = () => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = () => {
        this.#line.splice(this.#line.indexOf(go), 1);
        resolve();
      };
      this.#line.push(go);
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  leave(): void {
    this.#inside--;
    this.#line.shift()?.();
  }
}

// A client of its own for the tests: RESP2, one command at a time, no library in between.
import { connect, type Socket } from 'node:net';

type Reply = string | number | null | Error | Reply[];

export class Raw {
  #got = Buffer.alloc(0);
  #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];

  private constructor(readonly socket: Socket) {
    socket.on('data', (data) => this.#take(data));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('closed')));
  }

  static connect(port: number): Promise<Raw> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new Raw(socket));
      });
    });
  }

  call(...args: string[]): Promise<Reply> {
    const written = [`*${args.length}\r\n`, ...args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`)].join('');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.socket.write(written);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #take(data: Buffer): void {
    this.#got = Buffer.concat([this.#got, data]);
    for (;;) {
      const parsed = parse(this.#got, 0);
      if (!parsed) return;
      this.#got = this.#got.subarray(parsed[1]);
      const next = this.#waiting.shift();
      if (parsed[0] instanceof Error) next?.reject(parsed[0]);
      else next?.resolve(parsed[0]);
    }
  }
}

/** The reply at `at` and where it ends, or nothing if it is not all there. */
function parse(from: Buffer, at: number): [Reply, number] | undefined {
  const end = from.indexOf('\r\n', at);
  if (end < 0) return undefined;
  const head = from.toString('utf8', at + 1, end);
  const rest = end + 2;
  switch (String.fromCharCode(from[at] as number)) {
    case '+':
      return [head, rest];
    case '-':
      return [new Error(head), rest];
    case ':':
      return [Number(head), rest];
    case '$': {
      const n = Number(head);
      if (n < 0) return [null, rest];
      return from.length < rest + n + 2 ? undefined : [from.toString('utf8', rest, rest + n), rest + n + 2];
    }
    default: {
      const n = Number(head);
      if (n < 0) return [null, rest];
      const all: Reply[] = [];
      let next = rest;
      for (let i = 0; i < n; i++) {
        const one = parse(from, next);
        if (!one) return undefined;
        all.push(one[0]);
        next = one[1];
      }
      return [all, next];
    }
  }
}

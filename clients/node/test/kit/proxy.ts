// A proxy in front of a server that loses replies, cuts connections, or goes silent without a word.
import { connect, createServer, type Server, type Socket } from 'node:net';

export class LossyProxy {
  /** While set: a request that matches is passed on, its reply is not: the connection is cut instead. How often, is counted down. */
  cut: { what: RegExp; times: number } | undefined;
  /** While true nothing passes and nothing is closed: a network that is gone. */
  silent = false;
  /** How many replies were lost. */
  lost = 0;
  readonly #pairs = new Set<[Socket, Socket]>();

  private constructor(
    readonly listener: Server,
    readonly port: number,
  ) {}

  static start(to: number): Promise<LossyProxy> {
    return new Promise((done) => {
      const listener = createServer((client) => proxy.#join(client, connect(to, '127.0.0.1')));
      let proxy: LossyProxy;
      listener.listen(0, '127.0.0.1', () => {
        proxy = new LossyProxy(listener, (listener.address() as { port: number }).port);
        done(proxy);
      });
    });
  }

  #join(client: Socket, server: Socket): void {
    const pair: [Socket, Socket] = [client, server];
    this.#pairs.add(pair);
    let doomed = false;
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    client.on('data', (data) => {
      if (this.silent) return;
      if (this.cut && this.cut.times > 0 && this.cut.what.test(data.toString('latin1'))) {
        this.cut.times--;
        doomed = true;
      }
      server.write(data);
    });
    server.on('data', (data) => {
      if (this.silent) return;
      if (!doomed) client.write(data);
      else {
        this.lost++;
        this.#pairs.delete(pair);
        client.destroy();
        server.end(); // what it was sent it still carries out
      }
    });
    for (const socket of pair) socket.on('error', end).on('close', end);
  }

  /** Cuts all connections there are. */
  cutAll(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  stop(): void {
    this.listener.close();
    this.cutAll();
  }
}

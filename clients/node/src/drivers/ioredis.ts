// The adapter for ioredis 5 and 6: single servers, Sentinel and clusters.
import type { Arg, Dedicated, Driver, Request, Subscriber } from '../driver.js';

/** A command of ioredis. Setting `keys` is what makes a cluster send it to the right node. */
interface Command {
  keys: Arg[];
}
type CommandClass = new (name: string, args: Arg[], options: object) => Command;

/** The part of ioredis that is used, of Redis and of Cluster. */
interface Ioredis {
  sendCommand(command: Command): Promise<unknown>;
  callBuffer(name: string, ...args: Arg[]): unknown;
  connect(): Promise<void>;
  disconnect(reconnect?: boolean): void;
  // biome-ignore lint/suspicious/noExplicitAny: the listeners of half a dozen events
  on(event: string, listener: (...args: any[]) => void): unknown;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
  sunsubscribe(channel: string): Promise<unknown>;
  // Redis takes options; Cluster takes nodes and options.
  duplicate(a?: object, b?: object): Ioredis;
  nodes?(role?: string): Ioredis[];
  status: string;
  options: { keyPrefix?: string; redisOptions?: object; host?: string; port?: number; enableOfflineQueue?: boolean };
}

// What would end a call that blocks, or send it again behind our back.
const PATIENT = {
  maxRetriesPerRequest: null,
  commandTimeout: undefined,
  socketTimeout: undefined,
  enableAutoPipelining: false,
  autoResendUnfulfilledCommands: true,
};

/** Whether this is a client of ioredis. */
export function isIoredis(client: object): client is Ioredis {
  const it = client as Partial<Ioredis>;
  return typeof it.callBuffer === 'function' && typeof it.sendCommand === 'function' && typeof it.status === 'string';
}

/** The class Command of the very ioredis that made this client, which may be any of several that are installed. */
function commandClass(client: Ioredis): CommandClass {
  const catcher = { options: {}, sendCommand: (command: Command) => command };
  const command = client.callBuffer.call(catcher as unknown as Ioredis, 'PING') as Command;
  return command.constructor as CommandClass;
}

class Sender {
  readonly #Command: CommandClass;
  readonly #cluster: boolean;
  /** What waits for a connection. */
  readonly #line = new Set<() => void>();
  #listening = false;

  /** `broken`: whether the client lost its connection and has no other yet. */
  constructor(
    readonly client: Ioredis,
    readonly broken: () => boolean = () => false,
  ) {
    this.#cluster = client.nodes !== undefined;
    this.#Command = commandClass(client);
  }

  send(request: Request): Promise<unknown> {
    const { args, keys, readonly = false, signal } = request;
    // Its queue for the time without a connection gives nothing back: what has a deadline waits here instead.
    if (signal && this.broken() && this.client.options.enableOfflineQueue !== false) return this.#later(request, signal);
    const command = new this.#Command(args[0] as string, args.slice(1), { replyEncoding: null, readOnly: readonly });
    if (this.#cluster) command.keys = keys;
    return this.client.sendCommand(command);
  }

  /** Sends once there is a connection again; not at all if `signal` is aborted first. */
  #later(request: Request, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const send = () => {
        signal.removeEventListener('abort', giveUp);
        resolve(this.send({ ...request, signal: undefined }));
      };
      const giveUp = () => {
        this.#line.delete(send);
        reject(new Error('the connection to the server is down'));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#line.add(send);
      this.#listen();
    });
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    for (const event of ['ready', 'end']) {
      this.client.on(event, () => {
        const line = [...this.#line];
        this.#line.clear();
        for (const send of line) send();
      });
    }
  }
}

/** Counts lost connections: after one, ioredis sends again what had no reply. */
function countInterruptions(client: Ioredis): () => number {
  let lost = 0;
  const watch = (node: Ioredis) => node.on('close', () => lost++);
  if (client.nodes) {
    client.nodes('all').forEach(watch);
    client.on('+node', watch);
  } else {
    watch(client);
  }
  return () => lost;
}

/** Where a cluster can be found: the nodes known now, since those of the beginning may be gone. */
function knownNodes(client: Ioredis): object[] {
  const nodes = client.nodes?.('all') ?? [];
  return nodes.map(({ options }) => ({ host: options.host, port: options.port }));
}

function duplicate(client: Ioredis, options: object, clusterOptions: object = {}): Ioredis {
  const own = { ...options, lazyConnect: true, keyPrefix: '' };
  if (!client.nodes) return client.duplicate(own);
  const redisOptions = { ...client.options.redisOptions, ...options };
  return client.duplicate(knownNodes(client), {
    ...clusterOptions,
    redisOptions,
    enableAutoPipelining: false,
    lazyConnect: true,
    keyPrefix: '',
  });
}

async function connected(copy: Ioredis): Promise<Ioredis> {
  // What fails rejects its command; but of a connection that cannot be made only this tells why.
  let why: Error | undefined;
  copy.on('error', (error: Error) => {
    why = error;
  });
  try {
    await copy.connect();
  } catch (error) {
    copy.disconnect();
    throw why ?? error;
  }
  return copy;
}

class IoredisSubscriber implements Subscriber {
  readonly #heard = new Map<string, (message: Buffer) => void>();
  readonly #sharded: boolean;

  constructor(readonly client: Ioredis) {
    this.#sharded = client.nodes !== undefined;
    const event = this.#sharded ? 'smessageBuffer' : 'messageBuffer';
    client.on(event, (channel: Buffer, message: Buffer) => this.#heard.get(channel.toString())?.(message));
  }

  async subscribe(channel: string, heard: (message: Buffer) => void): Promise<void> {
    this.#heard.set(channel, heard);
    if (this.#sharded) await this.client.ssubscribe(channel);
    else await this.client.subscribe(channel);
  }

  async unsubscribe(channel: string): Promise<void> {
    this.#heard.delete(channel);
    if (this.#sharded) await this.client.sunsubscribe(channel);
    else await this.client.unsubscribe(channel);
  }

  close(): void {
    this.client.disconnect();
  }
}

/** The driver of an ioredis client. */
export function ioredisDriver(client: Ioredis): Driver {
  const interruptions = countInterruptions(client);
  const sender = new Sender(client, () => interruptions() > 0 && client.status !== 'ready');
  return {
    cluster: client.nodes !== undefined,
    prefix: client.options.keyPrefix ?? '',
    send: (request) => sender.send(request),
    resends: true,
    interruptions,
    async dedicated(): Promise<Dedicated> {
      const giveUp = { retryStrategy: () => null };
      const copy = await connected(duplicate(client, { ...PATIENT, ...giveUp }, { clusterRetryStrategy: () => null }));
      const own = new Sender(copy);
      return { send: (request) => own.send(request), destroy: () => copy.disconnect() };
    },
    async subscriber(): Promise<Subscriber> {
      return new IoredisSubscriber(await connected(duplicate(client, {}, { shardedSubscribers: true })));
    },
    async everyPrimary(args: Arg[]): Promise<unknown[]> {
      const nodes = client.nodes ? client.nodes('master') : [client];
      return Promise.all(nodes.map((node) => new Sender(node).send({ args, keys: [] })));
    },
  };
}

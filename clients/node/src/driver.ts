// The one small interface between this library and the client it was given. Everything above it is the same for all clients.
import { ioredisDriver, isIoredis } from './drivers/ioredis.js';
import { isNodeRedis, nodeRedisDriver } from './drivers/noderedis.js';
import { InvalidArgument, toModqError } from './errors.js';
import { within } from './time.js';

/** What a command consists of, before it is written. */
export type Arg = string | Buffer;

/** A command with what a client has to know to send it to the right node. */
export interface Request {
  /** The command and its arguments. */
  args: Arg[];
  /** Which of the arguments are keys, as they stand in `args`. Empty for commands without one. */
  keys: Arg[];
  /** May go to a replica, if the user's client reads from replicas. */
  readonly?: boolean;
  /** Its reply has integers of 64 bits. */
  exact?: boolean;
  /** Aborted when nobody waits for the reply any more: what was not sent by then is not to be sent. */
  signal?: AbortSignal;
}

/** A connection of our own, for one command at a time that may block. */
export interface Dedicated {
  send(request: Request): Promise<unknown>;
  /** Closes it at once; what is in flight is rejected or never settles. */
  destroy(): void;
}

/** A connection of our own that hears messages. */
export interface Subscriber {
  /** `heard` gets each message of the channel until `close`. Subscriptions outlive reconnections. */
  subscribe(channel: string, heard: (message: Buffer) => void): Promise<void>;
  unsubscribe(channel: string): Promise<void>;
  close(): void;
}

/** What an adapter does for one client. It never closes the client itself. */
export interface Driver {
  readonly cluster: boolean;
  /** What the client puts before keys, to be put there by us: clients leave commands of modules alone. */
  readonly prefix: string;
  /** Sends by the user's client. Rejects with whatever the client rejects with. */
  send(request: Request): Promise<unknown>;
  /** Whether the client sends again what had no reply when a connection broke. */
  readonly resends: boolean;
  /** How often a connection was lost so far, where the client sends commands again by itself; a constant elsewhere. */
  interruptions(): number;
  /** A new connection without time-outs or retries of its own. */
  dedicated(): Promise<Dedicated>;
  subscriber(): Promise<Subscriber>;
  /** Sends a command without keys to each primary. */
  everyPrimary(args: Arg[]): Promise<unknown[]>;
}

/**
 * A client that is connected, or connects by itself: of `redis` (createClient, createCluster, createSentinel; 4.6 and later) or of
 * `ioredis` (Redis, Cluster; 5.3 and later). Typed loosely, so that neither package has to be there.
 */
export type Client = object;

const drivers = new WeakMap<object, Driver>();

/** The driver of a client, made once. */
export function driverOf(client: Client): Driver {
  if (typeof client !== 'object' || client === null) throw notAClient();
  const known = drivers.get(client);
  if (known) return known;
  const driver = makeDriver(client);
  drivers.set(client, driver);
  return driver;
}

function makeDriver(client: Client): Driver {
  if (isIoredis(client)) return ioredisDriver(client);
  if (isNodeRedis(client)) return nodeRedisDriver(client);
  throw notAClient();
}

function notAClient(): InvalidArgument {
  return new InvalidArgument('not a client of redis (node-redis) or ioredis', 'ERR');
}

/**
 * `call` with a deadline in ms. What waits in the client for a connection when it passes is taken out again: a request that was
 * given up long ago must not be charged when the server is back.
 */
export function callWithin(driver: Driver, ms: number, request: Request): Promise<unknown> {
  if (!Number.isFinite(ms)) return call(driver, request);
  const gone = new AbortController();
  const sent = call(driver, { ...request, signal: gone.signal });
  return within(ms, String(request.args[0]), sent, () => gone.abort());
}

/** Sends a request by the user's client; errors are ours. */
export async function call(driver: Driver, request: Request): Promise<unknown> {
  try {
    return await driver.send(request);
  } catch (error) {
    throw toModqError(error);
  }
}

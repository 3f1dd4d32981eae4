// The client libraries at the oldest and newest versions that are supported, behind one way of making them.
import * as ioredis5 from 'ioredis5';
import * as ioredis6 from 'ioredis6';
import * as redis4 from 'redis4';
import * as redis5 from 'redis5';
import * as redis6 from 'redis6';
import type { Client } from '../../src/index.js';
import { ANY, type Cluster, KINDS, type Kind, type Sentinels } from './servers.js';

// biome-ignore lint/suspicious/noExplicitAny: five libraries, each with types of its own
type Any = any;

export const CLIENTS = ['redis4', 'redis5', 'redis6', 'ioredis5', 'ioredis6'] as const;
export type ClientName = (typeof CLIENTS)[number];

/** Every client library and, with the newest, every server. */
export const MATRIX: [ClientName, Kind][] = [
  ...CLIENTS.map((client): [ClientName, Kind] => [client, ANY]),
  ...KINDS.filter((kind) => kind !== ANY).flatMap((kind): [ClientName, Kind][] => [
    ['redis6', kind],
    ['ioredis6', kind],
  ]),
];

const REDIS: Record<string, Any> = { redis4, redis5, redis6 };
const IOREDIS: Record<string, Any> = { ioredis5, ioredis6 };

export interface Made {
  client: Client;
  close(): void;
}

function silent(client: Any): Any {
  client.on('error', () => {});
  return client;
}

function destroy(client: Any): void {
  try {
    if (client.destroy) Promise.resolve(client.destroy()).catch(() => {});
    else Promise.resolve(client.disconnect()).catch(() => {});
  } catch {
    // closed already
  }
}

const isNodeRedis = (name: ClientName) => name in REDIS;

/** A client of one server, quick to connect again. */
export async function single(name: ClientName, port: number, options: object = {}): Promise<Made> {
  if (isNodeRedis(name)) {
    const socket = { host: '127.0.0.1', port, reconnectStrategy: () => 50 };
    const client = silent(REDIS[name].createClient({ socket, ...options }));
    await client.connect();
    return { client, close: () => destroy(client) };
  }
  const client = silent(new IOREDIS[name].Redis({ host: '127.0.0.1', port, retryStrategy: () => 50, ...options }));
  return { client, close: () => client.disconnect() };
}

export interface Secure {
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer };
  username?: string;
  password?: string;
  database?: number;
}

/** A client of one server by TLS. It is not waited for until it is connected: it may never be. */
export function secure(name: ClientName, port: number, { tls, database, ...user }: Secure): Made {
  const address = { host: '127.0.0.1', port };
  if (isNodeRedis(name)) {
    const socket = { ...address, tls: true, ...tls, reconnectStrategy: () => 50 };
    const client = silent(REDIS[name].createClient({ socket, database, ...user }));
    client.connect().catch(() => {});
    return { client, close: () => destroy(client) };
  }
  const client = silent(
    new IOREDIS[name].Redis({ ...address, tls, db: database, ...user, enableReadyCheck: false, retryStrategy: () => 50 }),
  );
  return { client, close: () => client.disconnect() };
}

/** A client of a cluster by TLS. */
export async function secureCluster(name: ClientName, port: number, { tls, ...user }: Secure): Promise<Made> {
  const address = { host: '127.0.0.1', port };
  if (isNodeRedis(name)) {
    const client = silent(
      REDIS[name].createCluster({ rootNodes: [{ socket: address }], defaults: { socket: { tls: true, ...tls }, ...user } }),
    );
    await client.connect();
    return { client, close: () => destroy(client) };
  }
  const client = silent(new IOREDIS[name].Cluster([address], { redisOptions: { tls, ...user } }));
  return { client, close: () => client.disconnect() };
}

/** A client that asks a Sentinel where the primary is, both by TLS. */
export async function secureSentinel(
  name: Exclude<ClientName, 'redis4' | 'redis5'>,
  port: number,
  { tls, ...user }: Secure,
): Promise<Made> {
  const address = { host: '127.0.0.1', port };
  if (isNodeRedis(name)) {
    const socket = { tls: true, ...tls };
    const options = {
      name: 'mymaster',
      sentinelRootNodes: [address],
      sentinelClientOptions: { socket },
      nodeClientOptions: { socket, ...user },
    };
    const client = silent(REDIS[name].createSentinel(options));
    await client.connect();
    return { client, close: () => destroy(client) };
  }
  const options = { sentinels: [address], name: 'mymaster', enableTLSForSentinelMode: true, sentinelTLS: tls, tls, ...user };
  const client = silent(new IOREDIS[name].Redis(options));
  return { client, close: () => client.disconnect() };
}

/** A client of a cluster. */
export async function clustered(name: ClientName, cluster: Cluster): Promise<Made> {
  if (isNodeRedis(name)) {
    const rootNodes = cluster.addresses.map((socket) => ({ socket }));
    const client = silent(REDIS[name].createCluster({ rootNodes }));
    await client.connect();
    return { client, close: () => destroy(client) };
  }
  const client = silent(new IOREDIS[name].Cluster(cluster.addresses));
  return { client, close: () => client.disconnect() };
}

/** A client that asks Sentinels where the primary is. node-redis has it from 5 on, and can copy it from 6 on. */
export async function sentinelled(name: Exclude<ClientName, 'redis4' | 'redis5'>, sentinels: Sentinels): Promise<Made> {
  if (isNodeRedis(name)) {
    const options = { name: 'mymaster', sentinelRootNodes: sentinels.addresses };
    const client = silent(REDIS[name].createSentinel(options));
    await client.connect();
    return { client, close: () => destroy(client) };
  }
  const client = silent(new IOREDIS[name].Redis({ sentinels: sentinels.addresses, name: 'mymaster', sentinelRetryStrategy: () => 50 }));
  return { client, close: () => client.disconnect() };
}

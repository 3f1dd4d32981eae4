// Real servers with the module, on free ports and in temporary directories: single ones, Sentinel, clusters. Each test stops its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Raw } from './raw.js';
import { until } from './wait.js';

const ROOT = resolve(import.meta.dirname, '../../../..');
export const MODULE = process.env.MODQ_SO ?? join(ROOT, 'target/release/libmodq.so');

/** The servers of the matrix. */
export const KINDS = ['redis-7.0', 'redis-8.2', 'valkey-9.1', 'stack-7.4'] as const;
export type Kind = (typeof KINDS)[number];
/** The one for tests of what does not depend on the server. */
export const ANY: Kind = 'redis-7.0';

export function binary(kind: Kind): string {
  const path = join(ROOT, '.servers', kind, 'bin/server');
  if (!existsSync(path)) throw new Error(`${path} is missing: run scripts/servers.sh`);
  return path;
}

/** A port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => done(port));
    });
  });
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One server process that can be killed and started again over the same data. */
export class Server {
  process: ChildProcess | undefined;
  log = '';

  constructor(
    readonly kind: Kind,
    readonly port: number,
    readonly dir: string,
    readonly args: string[],
  ) {}

  static async start(kind: Kind = ANY, ...args: string[]): Promise<Server> {
    // A port that was free can be taken by somebody else before the server has it: then another.
    for (let tries = 0; ; tries++) {
      const dir = mkdtempSync(join(tmpdir(), 'modq-node-'));
      const server = new Server(kind, await freePort(), dir, args);
      try {
        await server.up();
        return server;
      } catch (error) {
        await server.stop();
        if (tries === 3 || !/in use/i.test(server.log)) throw error;
      }
    }
  }

  /** Starts the process and waits until it answers. */
  async up(): Promise<void> {
    const own = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.dir, '--save', '', '--loadmodule', MODULE];
    await this.spawn(binary(this.kind), [...own, ...this.args]);
  }

  async spawn(path: string, args: string[]): Promise<void> {
    // Redis Stack brings the libssl that it needs.
    const env = { ...process.env, LD_LIBRARY_PATH: join(ROOT, '.servers', this.kind, 'lib') };
    const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.dir, env });
    this.process = child;
    running.add(child);
    child.on('exit', () => running.delete(child));
    child.stdout?.on('data', (data) => {
      this.log += data;
    });
    child.stderr?.on('data', (data) => {
      this.log += data;
    });
    await until(`the server on ${this.port} to answer`, async () => {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${this.log}`);
      return (await this.ask('PING').catch(() => '')) === 'PONG';
    });
  }

  /** One command on a connection of its own. */
  async ask(...args: string[]): Promise<unknown> {
    const raw = await Raw.connect(this.port);
    try {
      return await raw.call(...args);
    } finally {
      raw.close();
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A Sentinel that watches the server on this port and needs `quorum` of them to agree. */
export async function sentinel(kind: Kind, primary: number, quorum: number, ...options: string[]): Promise<Server> {
  const dir = mkdtempSync(join(tmpdir(), 'modq-node-'));
  const server = new Server(kind, await freePort(), dir, []);
  const file = join(dir, 'sentinel.conf');
  const lines = [
    `port ${server.port}`,
    'bind 127.0.0.1',
    ...options,
    `sentinel monitor mymaster 127.0.0.1 ${primary} ${quorum}`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 4000',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  await server.spawn(binary(kind), [file, '--sentinel']);
  return server;
}

/** A primary, a replica and three Sentinels that watch them. */
export class Sentinels {
  readonly sentinels: Server[] = [];

  constructor(
    readonly primary: Server,
    readonly replica: Server,
  ) {}

  static async start(kind: Kind = ANY): Promise<Sentinels> {
    const primary = await Server.start(kind, '--repl-diskless-sync-delay', '0');
    const replica = await Server.start(kind, '--replicaof', `127.0.0.1 ${primary.port}`);
    const all = new Sentinels(primary, replica);
    await until('the replica to be in step', async () =>
      String(await replica.ask('INFO', 'replication')).includes('master_link_status:up'),
    );
    for (let i = 0; i < 3; i++) all.sentinels.push(await sentinel(kind, primary.port, 2));
    await until('the Sentinels to know each other', async () => {
      const states = await Promise.all(all.sentinels.map((s) => s.ask('SENTINEL', 'MASTER', 'mymaster')));
      return states.every((state) => {
        const flat = state as unknown[];
        const at = (name: string) => String(flat[flat.indexOf(name) + 1]);
        return at('num-other-sentinels') === '2' && at('num-slaves') === '1';
      });
    });
    return all;
  }

  get addresses(): { host: string; port: number }[] {
    return this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, this.primary, this.replica].map((server) => server.stop()));
  }
}

/** Three primaries without replicas that share the slots. */
export class Cluster {
  constructor(readonly nodes: Server[]) {}

  static async start(kind: Kind = ANY, primaries = 3): Promise<Cluster> {
    const enabled = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000', '--cluster-require-full-coverage', 'no'];
    const nodes: Server[] = [];
    for (let i = 0; i < primaries; i++) nodes.push(await Server.start(kind, ...enabled));
    const size = Math.ceil(16384 / primaries);
    for (const [i, node] of nodes.entries()) {
      await node.ask('CLUSTER', 'ADDSLOTSRANGE', `${i * size}`, `${Math.min(16383, (i + 1) * size - 1)}`);
      await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', `${i + 1}`);
    }
    for (const node of nodes.slice(1)) await nodes[0]?.ask('CLUSTER', 'MEET', '127.0.0.1', `${node.port}`);
    await until('the cluster to be whole', async () => {
      const infos = await Promise.all(nodes.map((node) => node.ask('CLUSTER', 'INFO')));
      return infos.every((info) => /cluster_state:ok/.test(`${info}`) && new RegExp(`cluster_size:${primaries}\\b`).test(`${info}`));
    });
    return new Cluster(nodes);
  }

  get addresses(): { host: string; port: number }[] {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}

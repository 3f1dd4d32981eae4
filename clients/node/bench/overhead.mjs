// What a worker costs over the bare client: the same items by CLAIM and RESOLVE sent by hand, and by a Worker, in turns; medians.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Queue } from 'modq';

const ROOT = resolve(import.meta.dirname, '../../..');
const MODULE = process.env.MODQ_SO ?? join(ROOT, 'target/release/libmodq.so');
const ITEMS = Number(process.env.ITEMS ?? 4000);
const ROUNDS = Number(process.env.ROUNDS ?? 9);

const port = await new Promise((done) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const at = probe.address().port;
    probe.close(() => done(at));
  });
});
const dir = mkdtempSync(join(tmpdir(), 'modq-bench-'));
const args = ['--port', port, '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--loadmodule', MODULE].map(String);
const server = spawn(join(ROOT, '.servers/redis-7.0/bin/server'), args, { stdio: 'ignore' });
server.once('exit', (code, signal) => {
  if (signal === 'SIGKILL') return;
  console.error(`the server ended with ${code}: its port may have been taken meanwhile; try again`);
  process.exit(1);
});

async function makeClient(name) {
  if (name.startsWith('ioredis')) {
    const { Redis } = await import(name);
    const client = new Redis({ port, host: '127.0.0.1' });
    client.on('error', () => {});
    return { client, call: (command, ...rest) => client.callBuffer(command, ...rest), end: () => client.disconnect() };
  }
  const { createClient } = await import(name);
  const client = createClient({ socket: { port, host: '127.0.0.1', reconnectStrategy: () => 50 } });
  client.on('error', () => {});
  await client.connect();
  const options = { typeMapping: { 36: Buffer } };
  return { client, call: (...words) => client.sendCommand(words, options), end: () => client.destroy() };
}

async function fill(call) {
  const all = [];
  for (let i = 0; i < ITEMS; i++) all.push(call('MODQ.SUBMIT', 'q', `i${i}`, 'some text to look at'));
  await Promise.all(all);
}

const start = () => ({ wall: performance.now(), cpu: process.cpuUsage() });

/** Microseconds for each item: by the clock, and of this process's own processor time, which a busy machine does not stretch. */
function since(from) {
  const { user, system } = process.cpuUsage(from.cpu);
  return { wall: ((performance.now() - from.wall) * 1000) / ITEMS, cpu: (user + system) / ITEMS };
}

/** What an item takes by hand: each of `slots` loops claims and resolves until nothing is left. */
async function byHand(call, slots) {
  const loop = async (slot) => {
    for (;;) {
      const claims = await call('MODQ.CLAIM', 'q', `hand:${slot}`, 'LOCK', '60000', 'TAGS', '0');
      if (!claims) return;
      await call('MODQ.RESOLVE', 'q', String(claims[0][0]), String(claims[0][2]));
    }
  };
  const from = start();
  await Promise.all(Array.from({ length: slots }, (_, slot) => loop(slot)));
  return since(from);
}

async function byWorker(client, slots) {
  const queue = new Queue(client, 'q');
  let left = ITEMS;
  let worker;
  const from = start();
  await new Promise((done) => {
    worker = queue.worker(() => {}, { moderator: 'bot', concurrency: slots });
    worker.on('resolved', () => --left === 0 && done());
    worker.run();
  });
  const rate = since(from);
  await worker.close();
  return rate;
}

const median = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

console.log(`${ITEMS} items, median of ${ROUNDS} rounds in turns, on ${process.version}`);
for (const name of ['redis6', 'ioredis6']) {
  const { client, call, end } = await makeClient(name);
  for (const slots of [1, 10]) {
    const hand = [];
    const worker = [];
    for (let round = -3; round < ROUNDS; round++) {
      await fill(call);
      const a = await byHand(call, slots);
      await fill(call);
      const b = await byWorker(client, slots);
      if (round < 0) continue; // to warm up
      hand.push(a);
      worker.push(b);
    }
    const figures = ['wall', 'cpu'].map((what) => {
      const [a, b] = [hand, worker].map((all) => median(all.map((one) => one[what])));
      // Of each pair of rounds, which were next to each other: what else the machine does then counts for both.
      const more = median(hand.map((one, i) => worker[i][what] / one[what]));
      return `${what} ${a.toFixed(0)} µs an item by hand, ${b.toFixed(0)} by a worker: ${((more - 1) * 100).toFixed(1)} % more`;
    });
    console.log(`${name}, ${slots} at a time: ${figures.join('; ')}`);
  }
  end();
}
server.kill('SIGKILL');
rmSync(dir, { recursive: true, force: true });

// What a worker costs over the bare client: the same items claimed and decided by hand and by a Worker, in turns. Each way has a process
// of its own, as it would have in life: what one leaves for the garbage collector, or teaches the compiler, is nothing to the others.
import { fork, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Queue } from 'modq';

const ROOT = resolve(import.meta.dirname, '../../..');
const MODULE = process.env.MODQ_SO ?? join(ROOT, 'target/release/libmodq.so');
const ITEMS = Number(process.env.ITEMS ?? 5000);
const ROUNDS = Number(process.env.ROUNDS ?? 25);
const CLIENTS = (process.env.CLIENTS ?? 'redis6,ioredis6').split(',');
const WARM = 4;

async function makeClient(name, port) {
  if (name.startsWith('ioredis')) {
    const { Redis } = await import(name);
    const client = new Redis({ port, host: '127.0.0.1' });
    return { client, call: (command, ...rest) => client.callBuffer(command, ...rest) };
  }
  const { createClient } = await import(name);
  const client = createClient({ socket: { port, host: '127.0.0.1' } });
  client.on('error', () => {});
  await client.connect();
  const options = { typeMapping: { 36: Buffer } };
  return { client, call: (...words) => client.sendCommand(words, options) };
}

/** What looks at an item: nothing, or something that takes up to 4 ms, so that no two end at the same moment for long. */
const LOOKS = {
  nothing: () => {},
  waits: () => new Promise((done) => setTimeout(done, Math.random() * 4)),
};

// By hand there is no heartbeat, no second try and no shutdown: less than anybody should run, and as little work as can be.

/** Each of `slots` loops claims one item, looks at it and decides it, until nothing is left. */
async function loops({ call }, slots, look) {
  const loop = async (moderator) => {
    for (;;) {
      const claims = await call('MODQ.CLAIM', 'q', moderator, 'LOCK', '30000');
      if (!claims) return;
      const [item, payload, token] = claims[0];
      await look(item.toString(), payload);
      await call('MODQ.RESOLVE', 'q', item, String(token));
    }
  };
  await Promise.all(Array.from({ length: slots }, (_, slot) => loop(`hand:${slot}`)));
}

/** As many as are wanted by one CLAIM, all of them looked at and decided, then the next: a slow one holds up the others. */
async function batches({ call }, slots, look) {
  const decide = async ([item, payload, token]) => {
    await look(item.toString(), payload);
    await call('MODQ.RESOLVE', 'q', item, String(token));
  };
  for (;;) {
    const claims = await call('MODQ.CLAIM', 'q', 'hand', 'COUNT', String(slots), 'LOCK', '30000');
    if (!claims) return;
    await Promise.all(claims.map(decide));
  }
}

/** As few commands as there can be: all are looked at, and decided alike by one MRESOLVE. One that fails would be nobody's to give back. */
async function wholesale({ call }, slots, look) {
  for (;;) {
    const claims = await call('MODQ.CLAIM', 'q', 'hand', 'COUNT', String(slots), 'LOCK', '30000');
    if (!claims) return;
    await Promise.all(claims.map(([item, payload]) => look(item.toString(), payload)));
    await call('MODQ.MRESOLVE', 'q', String(claims.length), ...claims.flatMap(([item, , token]) => [item, String(token)]));
  }
}

/** By the library; answers how to end it. */
async function worker({ client }, slots, look) {
  const queue = new Queue(client, 'q');
  const made = queue.worker(({ item, payload }) => look(item, payload), { moderator: 'bot', concurrency: slots });
  await new Promise((done) => {
    let left = ITEMS;
    made.on('resolved', () => --left === 0 && done());
    made.run();
  });
  return () => made.close();
}

const WAYS = { loops, batches, wholesale, worker };

/** A process of one way: works off the queue whenever it is told to, and says how many µs an item took it. */
async function child(way, name, port, slots, look) {
  const made = await makeClient(name, Number(port));
  process.on('message', async () => {
    const wall = performance.now();
    const cpu = process.cpuUsage();
    const end = await WAYS[way](made, Number(slots), LOOKS[look]);
    // The processor time of this process; other programs stretch it less than the time by the clock.
    const { user, system } = process.cpuUsage(cpu);
    const took = { wall: ((performance.now() - wall) * 1000) / ITEMS, cpu: (user + system) / ITEMS };
    await end?.();
    process.send(took);
  });
  process.send('ready');
}

/** The value at a part of the way through all of them in order: 0.5 is the median. */
function quantile(all, part) {
  return [...all].sort((a, b) => a - b)[Math.round((all.length - 1) * part)];
}

function report(title, rounds, hands) {
  console.log(title);
  const micros = (what, way) =>
    quantile(
      rounds.map((round) => round[way][what]),
      0.5,
    ).toFixed(1);
  for (const what of ['cpu', 'wall']) {
    for (const hand of hands) {
      const more = rounds.map((round) => (round.worker[what] / round[hand][what] - 1) * 100);
      const [low, mid, high] = [0.25, 0.5, 0.75].map((part) => `${quantile(more, part) < 0 ? '' : '+'}${quantile(more, part).toFixed(0)}`);
      const medians = `${hand.padEnd(9)} ${micros(what, hand)} µs, worker ${micros(what, 'worker')}`;
      console.log(`  ${what.padEnd(4)} ${medians}: ${mid} % (half of the rounds between ${low} and ${high})`);
    }
  }
}

const heard = (process) => new Promise((done) => process.once('message', done));

async function compare(name, port, title, slots, look, hands) {
  const { call } = await filling;
  const ways = ['worker', ...hands];
  const running = {};
  for (const way of ways) {
    running[way] = fork(import.meta.filename, [way, name, port, slots, look].map(String));
    await heard(running[way]);
  }
  const rounds = [];
  for (let n = 0; n < WARM + ROUNDS; n++) {
    const round = {};
    for (let i = 0; i < ways.length; i++) {
      const way = ways[(n + i) % ways.length]; // another one begins each round
      for (let from = 0; from < ITEMS; from += 1000) {
        const ids = Array.from({ length: Math.min(1000, ITEMS - from) }, (_, j) => [`i${from + j}`, 'some text to look at']);
        await call('MODQ.MSUBMIT', 'q', String(ids.length), ...ids.flat());
      }
      const answer = heard(running[way]);
      running[way].send('go');
      round[way] = await answer;
    }
    if (n >= WARM) rounds.push(round);
  }
  for (const way of ways) running[way].kill();
  report(`${name}, ${title}`, rounds, hands);
}

let filling;
async function main() {
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
  filling = makeClient('ioredis6', port);
  console.log(
    `µs an item: the median of ${ROUNDS} rounds of ${ITEMS} items, all ways in turns, on ${process.version}. In percent: what the worker`,
  );
  console.log('took more than the other in the same round, the median of that. It need not be what the medians differ by.');
  for (const name of CLIENTS) {
    await compare(name, port, 'one at a time', 1, 'nothing', ['loops']);
    await compare(name, port, 'ten at a time', 10, 'nothing', ['loops', 'batches', 'wholesale']);
    await compare(name, port, 'ten at a time, each looked at for up to 4 ms', 10, 'waits', ['loops']);
  }
  (await filling).client.disconnect();
  server.kill('SIGKILL');
  rmSync(dir, { recursive: true, force: true });
}

if (process.send) await child(...process.argv.slice(2));
else await main();

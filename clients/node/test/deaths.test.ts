// A thousand items, twenty workers in four processes, and random deaths: each item is decided once, by who held it.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { audit, flaws } from './kit/audit.js';
import { Server } from './kit/servers.js';
import { pause, until } from './kit/wait.js';

const SCRIPT = join(import.meta.dirname, 'kit/worker-process.mjs');

interface Process {
  child: ChildProcess;
  said: string;
  gone: Promise<unknown>;
}

function launch(port: number): Process {
  const child = spawn(process.execPath, [SCRIPT, String(port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const one: Process = { child, said: '', gone: new Promise((done) => child.once('exit', done)) };
  child.stdout?.on('data', (data) => {
    one.said += data;
  });
  return one;
}

describe.concurrent('processes', () => {
  it('die at random and no item is lost or decided twice', async ({ onTestFinished }) => {
    const server = await Server.start();
    onTestFinished(() => server.stop());
    await server.ask('MODQ.CONFIGURE', '{q}', 'EVENTS', '{q}:events', 'EVENTSMAXLEN', '0', 'MAXEXPIRIES', '0');
    const ids = Array.from({ length: 1000 }, (_, i) => `i${i}`);
    for (const id of ids) await server.ask('MODQ.SUBMIT', '{q}', id, 'text');
    const processes = Array.from({ length: 4 }, () => launch(server.port));
    onTestFinished(() => {
      for (const { child } of processes) child.kill('SIGKILL');
    });
    const left = async () => Number(await server.ask('MODQ.LEN', '{q}'));
    for (let deaths = 0; deaths < 6; deaths++) {
      const victim = Math.floor(Math.random() * processes.length);
      const one = processes[victim] as Process;
      await until('the process to work', async () => one.said.includes('working') || (await left()) === 0);
      await pause(Math.random() * 100);
      one.child.kill('SIGKILL');
      await one.gone;
      processes[victim] = launch(server.port);
    }
    await until('all to be decided', async () => (await left()) === 0);
    const told = await audit(server, '{q}:events');
    expect(flaws(told, ids)).toEqual([]);
    expect(told.expired).toBeGreaterThan(0);
  });

  it('end at SIGTERM with nothing in hand', async ({ onTestFinished }) => {
    const server = await Server.start();
    onTestFinished(() => server.stop());
    await server.ask('MODQ.CONFIGURE', '{q}', 'EVENTS', '{q}:events', 'EVENTSMAXLEN', '0');
    for (let i = 0; i < 500; i++) await server.ask('MODQ.SUBMIT', '{q}', `i${i}`, 'text');
    const one = launch(server.port);
    onTestFinished(() => void one.child.kill('SIGKILL'));
    await until('the process to work', () => one.said.includes('working'));
    one.child.kill('SIGTERM');
    await one.gone;
    expect(one.said).toContain('ended with 0 in hand');
    expect(await server.ask('MODQ.LEN', '{q}', 'LOCKED')).toBe(0);
    const told = await audit(server, '{q}:events');
    expect(told).toMatchObject({ expired: 0, wrong: [] });
    // What came when the signal had come already is given back; what anybody has begun to work on is decided.
    expect(one.said).toContain(`${told.decided.size} begun`);
    expect(Number(await server.ask('MODQ.LEN', '{q}', 'READY')) + told.decided.size).toBe(500);
  });
});

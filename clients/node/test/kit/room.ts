// A server and a client on it, for all tests of a `describe`.
import { afterAll, beforeAll } from 'vitest';
import { type ClientName, type Made, single } from './clients.js';
import { type Kind, Server } from './servers.js';

export interface Room {
  server: Server;
  made: Made;
}

/** Starts both before the first test, and ends them after the last. */
export function roomFor(name: ClientName, kind?: Kind): Room {
  const room = {} as Room;
  beforeAll(async () => {
    room.server = await Server.start(kind);
    room.made = await single(name, room.server.port);
  });
  afterAll(async () => {
    room.made?.close();
    await room.server?.stop();
  });
  return room;
}

// A process with five workers of one slot each, from the built package: it is killed at random, or told to end.
import { Queue } from 'modq';
import { createClient } from 'redis6';

const port = Number(process.argv[2]);
const client = createClient({ socket: { host: '127.0.0.1', port } });
client.on('error', () => {});
await client.connect();
const queue = new Queue(client, '{q}');
let begun = 0;
const worker = queue.worker(
  async () => {
    begun++;
    await new Promise((done) => setTimeout(done, 5 + Math.random() * 20));
    return 'spam';
  },
  { moderator: 'bot', concurrency: 5, lockDuration: 2000, block: 500, signals: ['SIGTERM'], drainTimeout: 20_000 },
);
worker.on('error', () => {});
worker.once('claimed', () => process.stdout.write('working\n'));
await worker.run();
process.stdout.write(`ended with ${worker.active} in hand, ${begun} begun\n`);
client.destroy();

// Certificates made by openssl on the spot, and servers that speak TLS and want a certificate of whoever comes.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type Kind, Server } from './servers.js';

/** Of the matrix these were built with TLS. */
export const SPEAK_TLS: Kind[] = ['redis-7.0', 'stack-7.4'];

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** In one folder: `ca` and `stranger` are authorities, `server` and `client` are by `ca`. */
export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'modq-node-'));

  constructor() {
    for (const name of ['ca', 'stranger'])
      this.#openssl('req', '-x509', ...KEY, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
    for (const [name, usage] of [
      ['server', 'serverAuth,clientAuth'],
      ['client', 'clientAuth'],
    ]) {
      const more = ['subjectAltName=IP:127.0.0.1', 'basicConstraints=CA:FALSE', `extendedKeyUsage=${usage}`];
      writeFileSync(this.path('more'), `${more.join('\n')}\n`);
      this.#openssl('req', ...KEY, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
      const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'more'];
      this.#openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`);
    }
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.folder, stdio: 'pipe' });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The arguments of a server that speaks TLS on this port. */
  ofServer(port: number): string[] {
    const files = ['--tls-ca-cert-file', 'ca.pem', '--tls-cert-file', 'server.pem', '--tls-key-file', 'server.key'];
    return ['--tls-port', `${port}`, ...files.map((word) => (word.startsWith('--') ? word : this.path(word)))];
  }

  /** The same as lines of a configuration file. */
  linesOfServer(port: number): string[] {
    const words = this.ofServer(port).map((word) => word.replace(/^--/, ''));
    return [0, 2, 4, 6].map((i) => words.slice(i, i + 2).join(' '));
  }

  /** What tls.connect is to be given by a client that trusts this authority. */
  ofClient(authority = 'ca'): { ca: Buffer; cert: Buffer; key: Buffer } {
    const [ca, cert, key] = [`${authority}.pem`, 'client.pem', 'client.key'].map((name) => readFileSync(this.path(name)));
    return { ca, cert, key } as { ca: Buffer; cert: Buffer; key: Buffer };
  }

  stop(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A server on two ports: the plain one is for the test itself. */
export class TlsServer {
  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async start(kind: Kind, certificates: Certificates, ...args: string[]): Promise<TlsServer> {
    const port = await freePort();
    return new TlsServer(await Server.start(kind, ...certificates.ofServer(port), ...args), port);
  }

  /** Fields of the connections of an ACL user, as the server sees them. */
  async connections(user: string): Promise<Map<string, string>[]> {
    const lines = String(await this.server.ask('CLIENT', 'LIST'))
      .trim()
      .split('\n');
    const all = lines.map((line) => new Map(line.split(' ').map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string])));
    return all.filter((one) => one.get('user') === user);
  }

  /** How many connections of the user there are, by the address that they came to and their database. */
  async whereFrom(user: string): Promise<{ count: number; ports: string[]; databases: string[] }> {
    const all = await this.connections(user);
    const different = (field: string) => [...new Set(all.map((one) => one.get(field) as string))];
    const ports = different('laddr').map((address) => address.replace('127.0.0.1:', ''));
    return { count: all.length, ports, databases: different('db') };
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

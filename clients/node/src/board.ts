// Boards: every RANK command. Scores are bigint, since they have 64 bits.
import { randomUUID } from 'node:crypto';
import { Args } from './args.js';
import { type Arg, type Client, callWithin, type Driver, driverOf } from './driver.js';
import { InvalidArgument } from './errors.js';
import { big, date, fields, list, num, optional, text } from './reply.js';

/** One score or a whole row. Numbers must be integers below 2^53. */
export type Scores = number | bigint | readonly (number | bigint)[];
export type Order = 'DESC' | 'ASC';
export type Update = 'SUM' | 'BEST' | 'LAST';
export type Ranking = 'ORDINAL' | 'STANDARD' | 'DENSE';

export interface BoardOptions {
  /** How members become bytes. Default `utf8`. */
  idEncoding?: 'utf8' | 'latin1';
  /** After how many ms a command is given up with `TimedOut`. Default: when the client gives up. */
  timeout?: number;
  /** Gives each `add` an id, so that one sent twice counts once. Default: where the client sends again by itself (ioredis). */
  idempotent?: boolean;
}
export interface CreateOptions {
  /** One word for all columns, or one for each. Default DESC. */
  order?: Order | readonly Order[];
  update?: Update;
  ties?: 'EARLIEST' | 'LATEST' | 'MEMBER';
  columns?: number;
  cap?: number;
  /** ms for which ids are remembered. */
  retry?: number;
}
export interface BoardInfo {
  order: ('desc' | 'asc')[];
  update: 'sum' | 'best' | 'last';
  ties: 'earliest' | 'latest' | 'member';
  columns: number;
  cap: number;
  retry: number;
  members: number;
  ids: number;
  bytes: number;
}
export interface Added {
  changed: boolean;
  /** Null if the member is not on the board (CAP). */
  rank: number | null;
  oldRank: number | null;
  scores: bigint[];
}
export interface Standing {
  rank: number;
  scores: bigint[];
  /** When the row became that. */
  achieved: Date;
}
export interface BoardRow {
  rank: number;
  member: string;
  scores: bigint[];
}

const row = (scores: Scores): readonly (number | bigint)[] => (Array.isArray(scores) ? scores : [scores as number | bigint]);

/**
 * A board. With node-redis 4, and with ioredis unless it has `stringNumbers`, a score beyond 2^53 in a reply is an `Inexact` error;
 * node-redis 5 and later read all 64 bits.
 */
export class Board {
  readonly key: string;
  readonly #driver: Driver;
  readonly #encoding: BufferEncoding;
  readonly #timeout: number;
  readonly #idempotent: boolean;

  constructor(
    readonly client: Client,
    key: string,
    options: BoardOptions = {},
  ) {
    this.key = key;
    this.#driver = driverOf(client);
    this.#encoding = options.idEncoding ?? 'utf8';
    this.#timeout = options.timeout ?? Number.POSITIVE_INFINITY;
    this.#idempotent = options.idempotent ?? this.#driver.resends;
  }

  /** Makes the board; `Exists` if it is there. */
  async create(options: CreateOptions = {}): Promise<void> {
    const { order, update, ties, columns, cap, retry } = options;
    const args = this.#args('RANK.CREATE');
    if (order !== undefined) args.word('ORDER', ...[order].flat());
    args.text('UPDATE', update).text('TIES', ties).number('COLUMNS', columns).number('CAP', cap).number('RETRY', retry);
    await this.#send(args);
  }

  /** Changes what can change, for later requests. False if there is no board. */
  async configure(options: { update?: Update; retry?: number }): Promise<boolean> {
    const reply = await this.#send(this.#args('RANK.CONFIGURE').text('UPDATE', options.update).number('RETRY', options.retry));
    return reply !== null && reply !== undefined;
  }

  async info(): Promise<BoardInfo | null> {
    return optional(await this.#send(this.#args('RANK.INFO'), true), (reply) => {
      const at = fields(reply);
      const n = (name: string) => num(at.get(name));
      return {
        order: list(at.get('order')).map((word) => text(word) as 'desc' | 'asc'),
        update: text(at.get('update')) as BoardInfo['update'],
        ties: text(at.get('ties')) as BoardInfo['ties'],
        columns: n('columns'),
        cap: n('cap'),
        retry: n('retry'),
        members: n('members'),
        ids: n('ids'),
        bytes: n('bytes'),
      };
    });
  }

  /** Changes a member's row. Null with `noCreate` if there is no board. Safe to repeat with an `id`. */
  async add(member: string, scores: Scores, options: { update?: Update; id?: string; noCreate?: boolean } = {}): Promise<Added | null> {
    const id = options.id ?? (this.#idempotent ? randomUUID() : undefined);
    const args = this.#args('RANK.ADD').id(member);
    this.#scores(args, scores).text('UPDATE', options.update).named('ID', id).flag('NOCREATE', options.noCreate);
    return optional(await this.#send(args), (reply) => {
      const [changed, rank, old, ...now] = list(reply);
      return { changed: num(changed) === 1, rank: optional(rank, num), oldRank: optional(old, num), scores: now.map(big) };
    });
  }

  /** Takes a member off; with `scores` only if that is still the row. */
  async rem(member: string, options: { scores?: Scores } = {}): Promise<boolean> {
    const args = this.#args('RANK.REM').id(member);
    if (options.scores !== undefined) this.#scores(args.word('SCORE'), options.scores);
    return num(await this.#send(args)) === 1;
  }

  /** How members rank, null for who is not on the board. */
  async get(members: readonly string[], options: { ranking?: Ranking } = {}): Promise<(Standing | null)[]> {
    // RANKING always, so that a first member of that name is one.
    const args = this.#args('RANK.GET')
      .word('RANKING', options.ranking ?? 'ORDINAL')
      .id(...members);
    return list(await this.#send(args, true)).map((one) =>
      optional(one, (reply) => {
        const all = list(reply);
        return { rank: num(all[0]), scores: all.slice(1, -1).map(big), achieved: date(all.at(-1)) };
      }),
    );
  }

  /** The best `n` behind the first `offset`. */
  async top(n: number, options: { offset?: number; ranking?: Ranking } = {}): Promise<BoardRow[]> {
    const args = this.#args('RANK.TOP').int('n', n).number('OFFSET', options.offset).text('RANKING', options.ranking);
    return this.#rows(await this.#send(args, true));
  }

  /** A member and who ranks next to it; null if it is not on the board. */
  async around(member: string, before: number, after: number, options: { ranking?: Ranking } = {}): Promise<BoardRow[] | null> {
    const args = this.#args('RANK.AROUND').id(member).int('before', before).int('after', after).text('RANKING', options.ranking);
    return optional(await this.#send(args, true), (reply) => this.#rows(reply));
  }

  /** How members rank among themselves, best first: `rank` among these, `overall` on the board. */
  async among(members: readonly string[]): Promise<(BoardRow & { overall: number })[]> {
    return list(await this.#send(this.#args('RANK.AMONG').id(...members), true)).map((one) => {
      const [rank, overall, member, ...scores] = list(one);
      return { rank: num(rank), overall: num(overall), member: text(member, this.#encoding), scores: scores.map(big) };
    });
  }

  /** How many members are strictly better than a row. */
  async count(scores: Scores): Promise<number> {
    return num(await this.#send(this.#scores(this.#args('RANK.COUNT'), scores), true));
  }

  /** Which part of the members is no better, in percent: 100 for the first. */
  async percentile(member: string): Promise<number | null> {
    return optional(await this.#send(this.#args('RANK.PERCENTILE').id(member), true), num);
  }

  async card(): Promise<number> {
    return num(await this.#send(this.#args('RANK.CARD'), true));
  }

  /** Ends a season: the board moves to `destination`, and begins anew, empty. How many members moved. */
  async close(destination: string): Promise<number> {
    const to = this.#driver.prefix + destination;
    return num(await this.#send(this.#args('RANK.CLOSE').word(to), false, [to]));
  }

  /** Takes over the members of a sorted set; its size. */
  async import(zset: string): Promise<number> {
    const from = this.#driver.prefix + zset;
    return num(await this.#send(this.#args('RANK.IMPORT').word(from), false, [from]));
  }

  #scores(args: Args, scores: Scores): Args {
    const all = row(scores);
    if (all.length === 0) throw new InvalidArgument('a row has at least one score', 'ERR');
    for (const score of all) args.int('score', score);
    return args;
  }

  #rows(reply: unknown): BoardRow[] {
    return list(reply).map((one) => {
      const [rank, member, ...scores] = list(one);
      return { rank: num(rank), member: text(member, this.#encoding), scores: scores.map(big) };
    });
  }

  get #redisKey(): string {
    return this.#driver.prefix + this.key;
  }

  #args(name: string): Args {
    return new Args(this.#encoding, name, this.#redisKey);
  }

  #send(args: Args, readonly = false, more: Arg[] = []): Promise<unknown> {
    const request = { args: args.list, keys: [this.#redisKey, ...more], readonly, exact: true };
    return callWithin(this.#driver, this.#timeout, request);
  }
}

// The header fields RateLimit, RateLimit-Policy and Retry-After (draft-ietf-httpapi-ratelimit-headers-10) and the body of a 429.
import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { Limiter, LimitState, Verdict } from './limiter.js';

/** A string of structured fields: printable ASCII in quotes. */
function quoted(name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]/g, '?');
  return `"${ascii.replace(/["\\]/g, '\\$&')}"`;
}

/** Whole seconds, rounded up. */
const seconds = (ms: number) => Math.ceil(ms / 1000);

/** `RateLimit-Policy: "burst";q=100;w=60, …` — with `subject` also who it is for, hashed. */
export function policyHeader(limits: readonly LimitState[], subject?: string): string {
  const pk = subject === undefined ? '' : `;pk=:${createHash('sha256').update(subject).digest().subarray(0, 12).toString('base64')}:`;
  return limits.map(({ name, quota, window }) => `${quoted(name)};q=${quota};w=${Math.max(1, seconds(window))}${pk}`).join(', ');
}

/** `RateLimit: "burst";r=50;t=30, …` where t is until there is more. */
export function limitHeader(limits: readonly LimitState[]): string {
  return limits
    .map(({ name, remaining, nextAfter }) => `${quoted(name)};r=${remaining}${nextAfter > 0 ? `;t=${seconds(nextAfter)}` : ''}`)
    .join(', ');
}

/** Seconds for Retry-After, not before any violated limit's t; undefined if the request can never pass. */
export function retryAfter(verdict: Verdict): number | undefined {
  if (verdict.retryAfter === Number.POSITIVE_INFINITY) return undefined;
  const next = verdict.limits.filter(({ violated }) => violated).map(({ nextAfter }) => seconds(nextAfter));
  return Math.max(1, seconds(verdict.retryAfter), ...next);
}

/** What to send before, or instead of, the answer to a request. */
export interface HttpAnswer {
  allowed: boolean;
  status: number;
  headers: Record<string, string>;
  /** The body of a refusal, `application/problem+json`. */
  body?: object;
}

const PROBLEM = 'https://iana.org/assignments/http-problem-types#quota-exceeded';

/** A verdict in HTTP: 429 for a limit, 503 where the limiter fails closed. */
export function httpAnswer(verdict: Verdict, subject?: string): HttpAnswer {
  const headers: Record<string, string> = {};
  if (verdict.limits.length > 0) {
    headers['RateLimit-Policy'] = policyHeader(verdict.limits, subject);
    headers.RateLimit = limitHeader(verdict.limits);
  }
  if (verdict.allowed) return { allowed: true, status: 200, headers };
  headers['Content-Type'] = 'application/problem+json';
  if (verdict.reason === 'error') {
    headers['Retry-After'] = '1';
    const body = { title: 'Requests cannot be counted at the moment', status: 503 };
    return { allowed: false, status: 503, headers, body };
  }
  const wait = retryAfter(verdict);
  if (wait !== undefined) headers['Retry-After'] = String(wait);
  const violated = verdict.limits.filter((limit) => limit.violated).map(({ name }) => name);
  const body = {
    type: PROBLEM,
    title: 'Request cannot be satisfied as assigned quota has been exceeded',
    status: 429,
    'violated-policies': violated,
  };
  return { allowed: false, status: 429, headers, body };
}

/** An address as a key: all of an IPv4, the first 56 bits of an IPv6, which is what one customer has. */
export function addressKey(address: string | undefined): string {
  if (!address) return 'unknown';
  const plain = address.replace(/%.*$/, '');
  const mapped = plain.match(/^::ffff:(\d+\.\d+\.\d+\.\d+)$/i);
  if (mapped) return mapped[1] as string;
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const before = head ? head.split(':') : [];
  const after = tail ? tail.split(':') : [];
  const groups = tail === undefined ? before : [...before, ...Array(Math.max(0, 8 - before.length - after.length)).fill('0'), ...after];
  const bits = groups.slice(0, 4).map((group) => Number.parseInt(group, 16) || 0);
  bits[3] = (bits[3] ?? 0) & 0xff00;
  return `${bits.map((group) => group.toString(16)).join(':')}::/56`;
}

/** What both middlewares take. `Request` is the framework's. */
export interface HttpOptions<Request> {
  limiter: Limiter;
  /** Who is counted. Default the address, an IPv6 one by its /56. */
  keyGenerator?: (request: Request) => string | Promise<string>;
  /** Units. Default 1. */
  cost?: (request: Request) => number | Promise<number>;
  /** Requests that are not counted. */
  skip?: (request: Request) => boolean | Promise<boolean>;
  /** Tells in RateLimit-Policy for whom (`pk`, hashed). Default false. */
  partitionKey?: boolean;
}

/** Asks the limiter about a request; null if it is not counted. */
export async function ask<Request extends { ip?: string }>(
  options: HttpOptions<Request>,
  request: Request,
): Promise<{ verdict: Verdict; answer: HttpAnswer } | null> {
  if (await options.skip?.(request)) return null;
  const key = options.keyGenerator ? await options.keyGenerator(request) : addressKey(request.ip);
  const verdict = await options.limiter.check(key, { cost: await options.cost?.(request) });
  return { verdict, answer: httpAnswer(verdict, options.partitionKey ? key : undefined) };
}

// The errors of the server as classes by their code, and those of the connection beside them.

/** Anything that went wrong, with the first word of the server's answer as `code`. */
export class ModqError extends Error {
  /** The server's code (`STALE`, `NOITEM`, `ERR` …), or `CONNECTION`, `CERTIFICATE`, `TIMEOUT`, `INEXACT` of this library. */
  readonly code: string;
  /** True if the command may have been carried out all the same: its reply was lost. */
  uncertain = false;

  constructor(message: string, code: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.name = new.target.name;
  }
}

/** The server refused the command: syntax, arity or range. The message names the argument. */
export class InvalidArgument extends ModqError {}
/** No such item in the queue. */
export class NoItem extends ModqError {}
/** The token is not that of a live lock; from ASSIGN: the item is locked. */
export class Stale extends ModqError {}
/** The item's content changed since the revision that was given. */
export class Changed extends ModqError {}
/** The item is in the queue already; the board, or the destination of CLOSE, exists. */
export class Exists extends ModqError {}
/** The moderator is excluded from the item. */
export class Excluded extends ModqError {}
/** The queue holds as many items as MAXLEN allows. */
export class Full extends ModqError {}
/** The queue takes no new items for now. */
export class Paused extends ModqError {}
/** The event stream's key holds something else, or the stream its last possible ID. */
export class EventsError extends ModqError {}
/** In a cluster: try again in a moment (a slot moves, or the event stream is missing). */
export class TryAgain extends ModqError {}
/** No rate limit policy of this name on the server that was asked. */
export class NoPolicy extends ModqError {}
/** The server is at `maxmemory`. */
export class OutOfMemory extends ModqError {}
/** The key holds another type. */
export class WrongType extends ModqError {}
/** The keys of one command are not in one slot of the cluster. */
export class CrossSlot extends ModqError {}
/** A blocked call was ended by CLIENT UNBLOCK or a failover: ask again. */
export class Unblocked extends ModqError {}
/** The connection failed, or the client gave the command up. */
export class ConnectionLost extends ModqError {}
/**
 * TLS: the server's certificate is not one that the client trusts, or the client's own is not one that the server does; the message says
 * which. Trying again does not help: a worker that has not worked yet ends with it.
 */
export class NotTrusted extends ModqError {}
/** No reply within the deadline that was set. */
export class TimedOut extends ModqError {}
/** A 64-bit integer that this client cannot tell exactly. The command was carried out. */
export class Inexact extends ModqError {}

type ErrorClass = new (message: string, code: string, cause?: unknown) => ModqError;

const BY_CODE: Record<string, ErrorClass> = {
  ERR: InvalidArgument,
  NOITEM: NoItem,
  STALE: Stale,
  CHANGED: Changed,
  EXISTS: Exists,
  EXCLUDED: Excluded,
  FULL: Full,
  PAUSED: Paused,
  EVENTS: EventsError,
  TRYAGAIN: TryAgain,
  NOPOLICY: NoPolicy,
  OOM: OutOfMemory,
  WRONGTYPE: WrongType,
  CROSSSLOT: CrossSlot,
  UNBLOCKED: Unblocked,
};

/** What the server says while it cannot serve, and will again. The command was not carried out. */
const PASSING = new Set([
  'LOADING',
  'READONLY',
  'MASTERDOWN',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'UNBLOCKED',
  'BUSY',
  'MOVED',
  'ASK',
  'NOREPLICAS',
  'MISCONF',
  'OOM',
]);

/** The first word of a reply in capitals; clients put their own words before it when they have given up redirections. */
function codeOf(message: string): string | undefined {
  const wrapped = message.match(/Last error: (?:\w*Error: )?(.*)/s);
  return (wrapped?.[1] ?? message).match(/^([A-Z][A-Z0-9]{1,})(?: |$)/)?.[1];
}

// How Node names its own verdict on a certificate, and what OpenSSL calls that of the other side.
const CERTIFICATES = /CERT|UNABLE_TO_VERIFY|UNKNOWN_CA|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH/;

function isAboutCertificates(error: unknown): boolean {
  return error instanceof Error && CERTIFICATES.test(String((error as NodeJS.ErrnoException).code));
}

/** The error of a client as one of ours. What is no reply of the server is a lost connection. */
export function toModqError(error: unknown): ModqError {
  if (error instanceof ModqError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = codeOf(message);
  if (code === undefined) {
    if (isAboutCertificates(error)) return new NotTrusted(message, 'CERTIFICATE', error);
    const lost = new ConnectionLost(message || 'the connection failed', 'CONNECTION', error);
    lost.uncertain = true;
    return lost;
  }
  const Class = BY_CODE[code] ?? ModqError;
  return new Class(message, code, error);
}

/** Whether it is unknown if the command was carried out. */
export function isUncertain(error: ModqError): boolean {
  return error.code === 'CONNECTION' || error.code === 'TIMEOUT';
}

/** Whether the same command may well succeed a little later. */
export function isPassing(error: ModqError): boolean {
  return isUncertain(error) || PASSING.has(error.code);
}

/** Whether the server does not know the command (an older module), or does not let this user send it (ACL rules from before it). */
export function isNotToBeHad(error: ModqError): boolean {
  return error.code === 'NOPERM' || (error instanceof InvalidArgument && /^ERR unknown command/i.test(error.message));
}

// Express middleware: charges each request, sets the RateLimit header fields, answers 429.
import { ask, type HttpOptions } from './headers.js';
import type { Verdict } from './limiter.js';

export { addressKey, type HttpOptions } from './headers.js';

/** The part of Express's request, or of Node's with an `ip`, that is used. */
export interface ExpressRequest {
  ip?: string;
}
/** The part of Express's response, which is Node's, that is used. */
export interface ExpressResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body?: string): unknown;
}

export interface ExpressOptions<Request extends ExpressRequest> extends HttpOptions<Request> {
  /** Answers a refusal in place of the problem document; the header fields are set already. */
  handler?: (request: Request, response: ExpressResponse, verdict: Verdict) => void;
}

/** `app.use(rateLimit({ limiter }))`. Errors go to `next`. Set Express's `trust proxy` where there is a proxy. */
export function rateLimit<Request extends ExpressRequest = ExpressRequest>(options: ExpressOptions<Request>) {
  return async (request: Request, response: ExpressResponse, next: (error?: unknown) => void): Promise<void> => {
    try {
      const asked = await ask(options, request);
      if (!asked) return next();
      const { verdict, answer } = asked;
      for (const [name, value] of Object.entries(answer.headers)) {
        if (answer.allowed || !options.handler || name !== 'Content-Type') response.setHeader(name, value);
      }
      if (answer.allowed) return next();
      response.statusCode = answer.status;
      if (options.handler) options.handler(request, response, verdict);
      else response.end(JSON.stringify(answer.body));
    } catch (error) {
      next(error);
    }
  };
}

// Fastify plugin: charges each request, sets the RateLimit header fields, answers 429.
import { ask, type HttpOptions } from './headers.js';

export { addressKey, type HttpOptions } from './headers.js';

/** The part of Fastify's request that is used. */
export interface FastifyRequest {
  ip: string;
}
/** The part of Fastify's reply that is used. */
export interface FastifyReply {
  code(status: number): FastifyReply;
  headers(values: Record<string, string>): FastifyReply;
  send(body: unknown): FastifyReply;
}
type Hook = (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
/** The part of a Fastify instance that is used. */
export interface FastifyInstance {
  // biome-ignore lint/suspicious/noExplicitAny: Fastify's own signature has an overload for each hook
  addHook(name: 'onRequest', hook: any): unknown;
}

export interface FastifyOptions extends HttpOptions<FastifyRequest> {}

/** `app.register(rateLimit, { limiter })`: for all routes of the instance it is registered on. */
export async function rateLimit(app: FastifyInstance, options: FastifyOptions): Promise<void> {
  app.addHook('onRequest', onRequest(options));
}

// Fastify keeps a plugin's hooks to the plugin unless it says otherwise.
Object.assign(rateLimit, { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'modq' });

/** The hook alone, for single routes: `app.get('/', { onRequest: onRequest({ limiter }) }, …)`. */
export function onRequest(options: FastifyOptions): Hook {
  return async (request, reply) => {
    const asked = await ask(options, request);
    if (!asked) return undefined;
    const { answer } = asked;
    reply.headers(answer.headers);
    return answer.allowed ? undefined : reply.code(answer.status).send(answer.body);
  };
}

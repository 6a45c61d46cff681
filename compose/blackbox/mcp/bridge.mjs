// Makes an MCP server that speaks stdio available over HTTP: node bridge.mjs PORT PROGRAM ARGUMENT…
//
// One process of the server answers all clients. One process per client would exceed the memory limit after a few
// clients, also because clients disappear without closing. So the server must keep no state of a client; the servers of
// this stack keep none. Clients' capabilities are not passed on: with "roots" a client could name other folders.
//
// SECRET=NAME:FILE gives the server a variable from a file. If the file is missing or empty, the server is not started.
// Then clients find no tools, and get the text in MISSING.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

const LARGEST_BODY = 8 << 20;
const PATIENCE = Number(process.env.PATIENCE_SECONDS ?? 120) * 1000;
const SHORTEST_LIFE = 2000;
const VERSIONS = ['2024-11-05', '2025-03-26', '2025-06-18'];
const [port, program, ...given] = process.argv.slice(2);
// An option with an empty value (--name=) is not passed on.
const programArguments = given.filter((argument) => !/^--[\w-]+=$/.test(argument));

class Failure extends Error {
  constructor(message, code = -32603) {
    super(message);
    this.code = code;
  }
}

/** The process of the server. A request starts it if it does not run. */
class Server {
  #child;
  #ready;
  #next = 1;
  #waiting = new Map();
  #startedAt = 0;

  /** The server's answer to `initialize`. */
  async initialized() {
    this.#ready ??= this.#start();
    return this.#ready;
  }

  /** The server's result, or a Failure. `gone` is called with a function that cancels the request. */
  async ask(method, params, gone = () => {}) {
    await this.initialized();
    return this.#ask(method, params, gone);
  }

  stop() {
    this.#child?.kill('SIGTERM');
  }

  async #start() {
    const pause = this.#startedAt + SHORTEST_LIFE - Date.now();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    this.#startedAt = Date.now();
    const child = spawn(program, programArguments, { stdio: ['pipe', 'pipe', 'pipe'], env: environment() });
    this.#child = child;
    const told = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      console.error(line);
      told.push(line);
      if (told.length > 5) told.shift();
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#heard(line));
    child.stdin.on('error', () => {});
    child.on('error', (error) => this.#ended(child, error.message));
    child.on('exit', (code, signal) => this.#ended(child, `${signal ?? `exit code ${code}`}: ${told.join(' | ')}`));
    try {
      const answer = await this.#ask('initialize', {
        protocolVersion: VERSIONS.at(-1), capabilities: {}, clientInfo: { name: 'bridge', version: '1.0.0' },
      });
      this.#tell({ jsonrpc: '2.0', method: 'notifications/initialized' });
      return answer;
    } catch (error) {
      // A process that runs but does not initialize would fail every later request. The next request starts a new one.
      child.kill('SIGKILL');
      this.#ended(child, error.message);
      throw error;
    }
  }

  #ask(method, params, gone = () => {}) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const end = (settle) => (value) => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        settle(value);
      };
      const giveUp = (reason) => {
        if (!this.#waiting.has(id)) return;
        this.#tell({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id, reason } });
        end(reject)(new Failure(reason));
      };
      const timer = setTimeout(() => giveUp(`no answer within ${PATIENCE / 1000} s`), PATIENCE);
      this.#waiting.set(id, { resolve: end(resolve), reject: end(reject) });
      gone(() => giveUp('the client went away'));
      this.#tell({ jsonrpc: '2.0', id, method, params });
    });
  }

  #tell(message) {
    this.#child.stdin.write(JSON.stringify(message) + '\n');
  }

  #heard(line) {
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      console.error(`not JSON: ${line.slice(0, 200)}`);
      return;
    }
    if (message.method !== undefined) {
      // A request of the server is refused: it belongs to no client. Notifications are dropped for the same reason.
      const error = { code: -32601, message: 'not supported' };
      if (message.id !== undefined) this.#tell({ jsonrpc: '2.0', id: message.id, error });
      return;
    }
    const waiting = this.#waiting.get(message.id);
    if (message.error) waiting?.reject(Object.assign(new Failure(message.error.message), message.error));
    else waiting?.resolve(message.result);
  }

  #ended(child, reason) {
    if (child !== this.#child) return;
    console.error(`the server ended: ${reason}`);
    this.#child = this.#ready = undefined;
    for (const { reject } of [...this.#waiting.values()]) reject(new Failure(`the MCP server ended: ${reason}`));
  }
}

/** Takes the place of a server whose secret is missing: it has no tools, and says why. */
class Missing {
  constructor(told) {
    this.told = told;
  }

  async initialized() {
    const serverInfo = { name: 'not set up', version: '1.0.0' };
    return { protocolVersion: VERSIONS.at(-1), capabilities: { tools: {} }, serverInfo, instructions: this.told };
  }

  async ask(method) {
    if (method === 'ping') return {};
    if (method === 'tools/list') return { tools: [] };
    throw new Failure(this.told, -32000);
  }

  stop() {}
}

function secret() {
  if (!process.env.SECRET) return undefined;
  const [name, ...file] = process.env.SECRET.split(':');
  try {
    return { name, value: readFileSync(file.join(':'), 'utf8').trim() };
  } catch {
    return { name, value: '' };
  }
}

function environment() {
  const { SECRET, MISSING, PATIENCE_SECONDS, ...rest } = process.env;
  const found = secret();
  return found ? { ...rest, [found.name]: found.value } : rest;
}

async function answer(message, gone) {
  if (message.method !== 'initialize') return server.ask(message.method, message.params, gone);
  const initialized = await server.initialized();
  // The answer to `initialize` is from the start. The ping shows that the server answers now.
  await server.ask('ping', undefined, gone);
  const asked = message.params?.protocolVersion;
  return VERSIONS.includes(asked) ? { ...initialized, protocolVersion: asked } : initialized;
}

async function received(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LARGEST_BODY) return { status: 413, error: 'too large' };
    chunks.push(chunk);
  }
  try {
    const message = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (message?.jsonrpc === '2.0' && !Array.isArray(message)) return { message };
    return { status: 400, error: 'not one JSON-RPC message' };
  } catch {
    return { status: 400, error: 'not JSON' };
  }
}

function refusal(request) {
  if (new URL(request.url, 'http://localhost').pathname !== '/mcp') return [404, 'the server is at /mcp'];
  // Only browsers send Origin, and no web page may use this server.
  if (request.headers.origin !== undefined) return [403, 'not for web pages'];
  if (request.method !== 'POST') return [405, 'POST only: there are no sessions and no streams'];
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) return [415, 'application/json only'];
  return undefined;
}

function reply(response, status, document) {
  const body = document === undefined ? '' : JSON.stringify(document);
  response.writeHead(status, { ...(body && { 'Content-Type': 'application/json' }), Allow: 'POST' }).end(body);
}

async function handle(request, response) {
  const refused = refusal(request);
  const { message, status, error } = refused ? { status: refused[0], error: refused[1] } : await received(request);
  if (message === undefined) {
    request.resume();
    reply(response, status, { jsonrpc: '2.0', id: null, error: { code: -32600, message: error } });
  } else if (message.method === undefined || message.id === undefined) {
    reply(response, 202);
  } else {
    const { id } = message;
    try {
      const result = await answer(message, (giveUp) => response.on('close', giveUp));
      reply(response, 200, { jsonrpc: '2.0', id, result });
    } catch (failure) {
      const { code, message: told, data } = failure;
      reply(response, 200, { jsonrpc: '2.0', id, error: { code: code ?? -32603, message: told, data } });
    }
  }
}

const found = secret();
const server = found?.value === '' ? new Missing(process.env.MISSING ?? `${found.name} is missing`) : new Server();
if (server instanceof Missing) console.error(server.told);
const listener = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});
listener.maxConnections = 64;
listener.requestTimeout = 60_000;
listener.listen(Number(port), '0.0.0.0', () => console.error(`${program} at port ${port}, /mcp`));
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    server.stop();
    process.exit(0);
  });
}

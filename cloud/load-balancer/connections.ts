import net from "node:net";
import type { ClientAddresses, Endpoint } from "./client-addresses";

/** A client's connection together with the connection to its target. */
export interface Connection {
  /** Resets both. */
  end(): void;
}

/** The local ports of connections that preserve the client's address. */
const PORTS = { first: 10_000, last: 65_535 };

/** The number of local ports that one connection tries. */
const PORT_ATTEMPTS = 50;

/** The errors of a local port that is in use. */
const PORT_IN_USE = ["EADDRINUSE", "EADDRNOTAVAIL"];

/**
 * Copies between a client and its target in both directions. A direction that one side has finished is finished for the other,
 * and the other direction goes on. A reset, or an error, of one side resets the other.
 * @param client - the client's connection, paused
 * @param connecting - the connection to the target; the client is reset if it fails
 * @param options.idleTimeout - the time without data after which both are reset, in seconds
 * @param options.onClose - called when both are closed
 */
export function forward(
  client: net.Socket,
  connecting: Promise<net.Socket>,
  { idleTimeout, onClose }: { readonly idleTimeout: number; readonly onClose: () => void },
): Connection {
  let server: net.Socket | undefined;
  let ended = false;
  function end(): void {
    ended = true;
    reset(client);
    if (server) reset(server);
  }

  client.on("error", end).setTimeout(idleTimeout * 1000, end);
  const serverClosed = connecting.then((socket) => {
    server = socket.on("error", end);
    if (ended) reset(server);
    else client.pipe(server).pipe(client);
    return closed(server);
  }, end);
  Promise.all([closed(client), serverClosed]).then(onClose);
  return { end };
}

/** Resets a client's connection. */
export function reset(socket: net.Socket): void {
  if (!socket.destroyed) socket.on("error", () => {}).resetAndDestroy();
}

/** Connects to a target. It sees the load balancer's address. */
export function connect(target: Endpoint, local?: Endpoint): Promise<net.Socket> {
  const socket = net.connect({
    host: target.address,
    port: target.port,
    ...(local && { localAddress: local.address, localPort: local.port }),
    allowHalfOpen: true,
    noDelay: true,
  });
  return new Promise((resolve, reject) => {
    socket.once("connect", () => resolve(socket)).on("error", reject);
  });
}

/** Returns a function that connects to a target, which sees the client's address and port. */
export function connectorAsClient(
  addresses: ClientAddresses,
): (target: Endpoint, client: net.Socket) => Promise<net.Socket> {
  let last = PORTS.last;
  const used = new Set<number>();
  function nextPort(): number {
    do {
      last = last < PORTS.last ? last + 1 : PORTS.first;
    } while (used.has(last));
    return last;
  }

  return async (target, client) => {
    const { localAddress, remoteAddress, remotePort } = client;
    if (!localAddress || !remoteAddress || !remotePort) throw new Error("the client has left");
    for (let attempt = 1; ; attempt++) {
      const own = { address: localAddress, port: nextPort() };
      const release = () => {
        addresses.remove(own);
        used.delete(own.port);
      };
      used.add(own.port);
      await addresses.add(own, { address: remoteAddress, port: remotePort });
      try {
        const socket = await connect(target, own);
        closed(socket).then(release);
        return socket;
      } catch (error) {
        release();
        if (attempt === PORT_ATTEMPTS || !PORT_IN_USE.includes((error as NodeJS.ErrnoException).code ?? ""))
          throw error;
      }
    }
  };
}

function closed(socket: net.Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

import { randomInt } from "node:crypto";
import net from "node:net";
import type { ClientAddresses, Endpoint } from "./client-addresses";
import { type Health, type Listener, type LoadBalancerConfig, type TargetGroup, targetName } from "./config";
import { type Connection, connect, connectorAsClient, forward, reset } from "./connections";
import { type Monitor, monitor } from "./health-checks";

/** The time without data after which AWS ends a connection, in seconds. */
const IDLE_TIMEOUT = 350;

/** The time after which a listener tries again to open its port, in milliseconds. */
const LISTEN_AGAIN = 200;

/** The properties of {@link createBalancer}. */
export interface BalancerProps {
  /** Opens the translation to the clients' addresses. It is called once, when a target group needs it. */
  readonly openClientAddresses: () => ClientAddresses;
  /** Called after each change of a target's health, and after each configuration. */
  readonly onHealth: (health: Health) => void;
  /** Receives lines for a person. */
  readonly log: (line: string) => void;
}

/** A running load balancer. */
export interface Balancer {
  /** Brings a configuration into effect. Resolves when each new listener has tried once to open its port. */
  configure(config: LoadBalancerConfig): Promise<void>;
}

interface RegisteredTarget extends Endpoint {
  readonly monitor: Monitor;
  readonly connections: Set<Connection>;
}

interface Group {
  props: TargetGroup;
  /** By {@link targetName}. */
  readonly targets: Map<string, RegisteredTarget>;
}

interface OpenListener {
  props: Listener;
  readonly connections: Set<Connection>;
  /** Opens the port. Resolves after the first attempt; failed attempts are repeated. */
  open(): Promise<void>;
  close(): void;
}

/** Creates a load balancer without listeners and targets. */
export function createBalancer({ openClientAddresses, onHealth, log }: BalancerProps): Balancer {
  const groups = new Map<string, Group>();
  /** By address and port. */
  const listeners = new Map<string, OpenListener>();
  let host = "";
  let connectAsClient: ReturnType<typeof connectorAsClient> | undefined;

  function reportHealth(): void {
    const health = [...groups].map(([arn, { targets }]) => [
      arn,
      Object.fromEntries([...targets].map(([name, { monitor }]) => [name, monitor.health()])),
    ]);
    onHealth(Object.fromEntries(health));
  }

  function register(group: Group, name: string, props: TargetGroup["targets"][number]): void {
    const target: RegisteredTarget = {
      address: props.ip,
      port: props.port,
      connections: new Set(),
      monitor: monitor({
        target: props,
        check: group.props.healthCheck,
        host: () => host,
        onChange: () => {
          log(`target ${name} is ${target.monitor.health()}`);
          endUnusable(group);
          reportHealth();
        },
      }),
    };
    group.targets.set(name, target);
  }

  function configureGroup(props: TargetGroup): void {
    const group = groups.get(props.arn) ?? { props, targets: new Map() };
    groups.set(props.arn, group);
    group.props = props;
    const wanted = new Map(props.targets.map((target) => [targetName(target), target]));
    removeOthers(group.targets, wanted, deregister);
    for (const [name, target] of wanted) {
      const registered = group.targets.get(name);
      if (registered) registered.monitor.update(props.healthCheck);
      else register(group, name, target);
    }
  }

  function configureGroups(wanted: readonly TargetGroup[]): void {
    if (wanted.some(({ preserveClientIp }) => preserveClientIp)) {
      connectAsClient ??= connectorAsClient(openClientAddresses());
    }
    wanted.forEach(configureGroup);
    removeOthers(groups, new Map(wanted.map(({ arn }) => [arn, true])), (group) => group.targets.forEach(deregister));
  }

  async function configureListeners({ addresses, listeners: ports }: LoadBalancerConfig): Promise<void> {
    const pairs = addresses.flatMap((address) => ports.map((props) => ({ address, props })));
    const wanted = new Map(pairs.map((pair) => [`${pair.address}:${pair.props.port}`, pair]));
    removeOthers(listeners, wanted, (listener) => listener.close());
    const opening = [...wanted].map(([name, { address, props }]) => {
      const open = listeners.get(name);
      if (open) {
        open.props = props;
        return undefined;
      }
      const listener = createListener(address, props);
      listeners.set(name, listener);
      return listener.open();
    });
    await Promise.all(opening);
  }

  function createListener(address: string, props: Listener): OpenListener {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    let timer: NodeJS.Timeout | undefined;
    let failure: string | undefined;
    const listener: OpenListener = {
      props,
      connections: new Set(),
      open: () =>
        new Promise((resolve) => {
          server.once("listening", resolve).once("error", () => resolve());
          server.listen({ host: address, port: props.port, backlog: 4096 });
        }),
      close() {
        clearTimeout(timer);
        server.close();
        endAll(listener.connections);
      },
    };
    server.on("error", ({ code }: NodeJS.ErrnoException) => {
      // The port stays open after a failed accept, as without free file descriptors.
      if (server.listening) return;
      if (failure !== code) log(`cannot listen at ${address}:${props.port} yet (${code})`);
      failure = code;
      timer = setTimeout(() => listener.open(), LISTEN_AGAIN);
    });
    server.on("connection", (client) => accept(client, listener));
    return listener;
  }

  /** Connects a client with one target. As at AWS, there is no second attempt with another target. */
  function accept(client: net.Socket, { props, connections }: OpenListener): void {
    const group = groups.get(props.targetGroup);
    const usable = group ? usableTargets(group) : [];
    if (!group || usable.length === 0) {
      reset(client);
      return;
    }
    // AWS chooses by a hash of the flow that includes TCP's sequence number, which is random.
    const target = usable[randomInt(usable.length)] as RegisteredTarget;
    const connecting =
      group.props.preserveClientIp && connectAsClient ? connectAsClient(target, client) : connect(target);
    const connection = forward(client, connecting, {
      idleTimeout: props.idleTimeout ?? IDLE_TIMEOUT,
      onClose() {
        target.connections.delete(connection);
        connections.delete(connection);
      },
    });
    target.connections.add(connection);
    connections.add(connection);
  }

  return {
    async configure(config) {
      host = `${config.addresses[0]}:${config.listeners[0]?.port}`;
      configureGroups(config.targetGroups);
      await configureListeners(config);
      reportHealth();
    },
  };
}

/** The targets for new connections: the healthy ones. As at AWS, all of them if none is healthy. */
function usableTargets({ targets }: Group): readonly RegisteredTarget[] {
  const all = [...targets.values()];
  const healthy = all.filter(({ monitor }) => monitor.health() === "healthy");
  return healthy.length > 0 ? healthy : all;
}

/** Ends the connections of unhealthy targets. As at AWS, they stay open while no target is healthy. */
function endUnusable(group: Group): void {
  const usable = new Set(usableTargets(group));
  for (const target of group.targets.values()) {
    if (target.monitor.health() === "unhealthy" && !usable.has(target)) endAll(target.connections);
  }
}

function deregister(target: RegisteredTarget): void {
  target.monitor.stop();
  endAll(target.connections);
}

function endAll(connections: ReadonlySet<Connection>): void {
  for (const connection of connections) connection.end();
}

/** Removes the entries that another map does not have. */
function removeOthers<T>(
  map: Map<string, T>,
  wanted: ReadonlyMap<string, unknown>,
  onRemove: (value: T) => void,
): void {
  for (const [key, value] of map) {
    if (wanted.has(key)) continue;
    map.delete(key);
    onRemove(value);
  }
}

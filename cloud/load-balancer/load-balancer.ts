import { type ChildProcessByStdio, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { inside } from "../namespace";
import { ENDS_WITH_PARENT } from "../program";
import { removeClientAddresses, tableOf } from "./client-addresses";
import type { Health, LoadBalancerConfig, Report, Request } from "./config";

const PROJECT = join(__dirname, "../..");

type Program = ChildProcessByStdio<Writable, Readable, Readable>;

/** The properties of a {@link LoadBalancer}. */
export interface LoadBalancerProps {
  /** The path of the network namespace with the load balancer's addresses. */
  readonly namespace: string;
  /** The path of the network namespace of the VPC's router, which translates the connections that preserve the client's address. */
  readonly router: string;
  /** Receives lines for a person. */
  readonly log: (line: string) => void;
}

/**
 * A network load balancer: a program in a network namespace. It ends with this process. It needs root, util-linux and, for
 * target groups that preserve the client's address, nftables.
 */
export class LoadBalancer {
  private readonly events = new EventEmitter();
  private latest: Health = {};
  private requests = 0;
  private closing = false;

  private constructor(
    private readonly program: Program,
    private readonly props: { readonly log: (line: string) => void; readonly removeTable: () => void },
  ) {
    const { log } = props;
    createInterface({ input: program.stderr }).on("line", log);
    createInterface({ input: program.stdout }).on("line", (line) => {
      const report: Report = JSON.parse(line);
      if (report.log) log(report.log);
      if (report.health) {
        this.latest = report.health;
        this.events.emit("health", report.health);
      }
      if (report.ready) this.events.emit("ready");
      if (report.configured) this.events.emit(`configured ${report.configured}`);
    });
    program.stdin.on("error", () => {});
    program.on("close", (status, signal) => {
      const error = new Error(`the load balancer's program has ended (${status ?? signal})`);
      if (!this.closing) log(error.message);
      this.events.emit("ended", error);
    });
  }

  /** Starts a load balancer without listeners. */
  static async start({ namespace, router, log }: LoadBalancerProps): Promise<LoadBalancer> {
    const table = tableOf(namespace);
    const program = [process.execPath, "--import", "tsx", join(__dirname, "program.ts"), router, table];
    const [command, ...args] = [...ENDS_WITH_PARENT, ...inside(namespace), ...program] as [string, ...string[]];
    const child = spawn(command, args, { cwd: PROJECT, stdio: ["pipe", "pipe", "pipe"] });
    const balancer = new LoadBalancer(child, { log, removeTable: () => removeClientAddresses(router, table) });
    await balancer.next("ready");
    return balancer;
  }

  /**
   * Replaces the configuration. Connections that it does not concern stay open; those of removed targets and listeners are
   * reset.
   * @returns resolves when the configuration is in effect. A port that cannot be opened yet is tried again until it can.
   * @throws Error if a listener names an unknown target group, or if the program has ended
   */
  async configure(config: LoadBalancerConfig): Promise<void> {
    const arns = config.targetGroups.map(({ arn }) => arn);
    for (const { port, targetGroup } of config.listeners) {
      if (arns.includes(targetGroup)) continue;
      throw new Error(
        `targetGroup of listener ${port} must be one of the target groups (${arns.join(", ")}), got ${JSON.stringify(targetGroup)}`,
      );
    }
    const request: Request = { number: ++this.requests, config };
    const configured = this.next(`configured ${request.number}`);
    this.program.stdin.write(`${JSON.stringify(request)}\n`);
    await configured;
  }

  /** The health of all targets, by target group and target (`address:port`). */
  health(): Health {
    return this.latest;
  }

  /** Calls a function with the health of all targets after each change. */
  onHealth(callback: (health: Health) => void): void {
    this.events.on("health", callback);
  }

  /** The process id of the program on this machine. */
  get pid(): number {
    return this.program.pid as number;
  }

  /** Ends the load balancer. Its connections are reset. */
  async close(): Promise<void> {
    this.closing = true;
    const { exitCode, signalCode } = this.program;
    if (exitCode === null && signalCode === null) {
      this.program.kill("SIGKILL");
      await once(this.program, "exit");
    }
    this.props.removeTable();
  }

  /** Waits for an event of the program. @throws Error if the program has ended */
  private next(event: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const { events } = this;
      const settle = (act: () => void) => {
        events.off(event, happened).off("ended", ended);
        act();
      };
      const happened = () => settle(resolve);
      const ended = (error: Error) => settle(() => reject(error));
      events.once(event, happened).once("ended", ended);
      if (this.program.exitCode !== null || this.program.signalCode !== null) {
        ended(new Error("the load balancer's program has ended"));
      }
    });
  }
}

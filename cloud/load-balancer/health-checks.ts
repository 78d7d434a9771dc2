import http from "node:http";
import https from "node:https";
import net from "node:net";
import type { HealthCheck, Target, TargetHealth } from "./config";

/** A check of one target, repeated until it is stopped. */
export interface Monitor {
  health(): TargetHealth;
  /** Replaces the health check. The target keeps its health; the new check runs at once, if it differs. */
  update(check: HealthCheck): void;
  stop(): void;
}

/** The properties of {@link monitor}. */
export interface MonitorProps {
  readonly target: Target;
  readonly check: HealthCheck;
  /** The value of the header `Host` of HTTP and HTTPS. At AWS it is the load balancer's address and port. */
  readonly host: () => string;
  /** Called after each change of the target's health. */
  readonly onChange: () => void;
}

/** Checks a target at once, and then at each interval. */
export function monitor({ target, host, onChange, ...props }: MonitorProps): Monitor {
  let { check } = props;
  let health: TargetHealth = "initial";
  /** The number of results in a row that are equal to the last. */
  let row = { passed: false, length: 0 };
  let timer: NodeJS.Timeout | undefined;
  let round = 0;

  async function run(): Promise<void> {
    const own = ++round;
    const current = check;
    const next = Date.now() + current.interval * 1000;
    const passed = await CHECKS[current.protocol](target, current, host());
    if (own !== round) return;
    row = { passed, length: row.passed === passed ? row.length + 1 : 1 };
    const changed = afterResult(health, row, current);
    timer = setTimeout(run, Math.max(0, next - Date.now()));
    if (changed === health) return;
    health = changed;
    onChange();
  }

  function stop(): void {
    round++;
    clearTimeout(timer);
  }

  void run();
  return {
    health: () => health,
    update(changed) {
      if (JSON.stringify(changed) === JSON.stringify(check)) return;
      check = changed;
      stop();
      void run();
    },
    stop,
  };
}

/** The health after the last results. As at AWS, a new target is healthy after one passed check. */
function afterResult(
  health: TargetHealth,
  row: { readonly passed: boolean; readonly length: number },
  check: HealthCheck,
): TargetHealth {
  const passes = health === "initial" ? 1 : check.healthyThreshold;
  if (row.length < (row.passed ? passes : check.unhealthyThreshold)) return health;
  return row.passed ? "healthy" : "unhealthy";
}

type Check = (target: Target, check: HealthCheck, host: string) => Promise<boolean>;

const CHECKS: Record<HealthCheck["protocol"], Check> = {
  TCP: (target, check) =>
    new Promise((resolve) => {
      const socket = net.connect(checkedPort(target, check), target.ip);
      limit(
        check,
        () => socket.destroy(),
        resolve,
        (end) => {
          socket.on("connect", () => end(true)).on("error", () => end(false));
        },
      );
    }),
  HTTP: (target, check, host) => answers(http.request({ ...requestOptions(target, check, host) }), check),
  HTTPS: (target, check, host) =>
    answers(
      https.request({
        ...requestOptions(target, check, host),
        rejectUnauthorized: false,
        // AWS's check of a network load balancer has no TLS 1.3: a target without TLS 1.2 is unhealthy.
        maxVersion: "TLSv1.2",
      }),
      check,
    ),
};

function requestOptions(target: Target, check: HealthCheck, host: string): https.RequestOptions {
  return {
    host: target.ip,
    port: checkedPort(target, check),
    path: check.path ?? "/",
    agent: false,
    headers: { host, "user-agent": "ELB-HealthChecker/2.0" },
  };
}

function answers(request: http.ClientRequest, check: HealthCheck): Promise<boolean> {
  return new Promise((resolve) => {
    limit(
      check,
      () => request.destroy(),
      resolve,
      (end) => {
        request.on("error", () => end(false));
        request.on("response", ({ statusCode }) => end(matches(check.matcher ?? "200-399", statusCode as number)));
        request.end();
      },
    );
  });
}

/** Ends a check with its first result, or as failed when the check's time is over. */
function limit(
  check: HealthCheck,
  close: () => void,
  resolve: (passed: boolean) => void,
  begin: (end: (passed: boolean) => void) => void,
): void {
  const timer = setTimeout(() => end(false), check.timeout * 1000);
  function end(passed: boolean): void {
    clearTimeout(timer);
    close();
    resolve(passed);
  }
  begin(end);
}

function checkedPort(target: Target, check: HealthCheck): number {
  return check.port === "traffic-port" ? target.port : check.port;
}

/** Whether a matcher contains a status. @param matcher - numbers and ranges: `200,300-302` */
function matches(matcher: string, status: number): boolean {
  return matcher.split(",").some((part) => {
    const [first, last = first] = part.split("-").map(Number) as [number, number?];
    return status >= first && status <= last;
  });
}

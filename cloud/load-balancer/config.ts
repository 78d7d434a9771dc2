/** A health check of a target group, as the API of AWS describes it. */
export interface HealthCheck {
  /** TCP is healthy when the target accepts a connection; HTTP and HTTPS when its answer's status matches. */
  readonly protocol: "TCP" | "HTTP" | "HTTPS";
  /** The port of the check: the target's own, or one port for all targets. */
  readonly port: "traffic-port" | number;
  /** The path of HTTP and HTTPS. @default "/" */
  readonly path?: string;
  /** The time from the start of a check to the start of the next, in seconds. */
  readonly interval: number;
  /** The time in which the target must answer, in seconds. */
  readonly timeout: number;
  /** The number of passed checks in a row after which an unhealthy target is healthy. */
  readonly healthyThreshold: number;
  /** The number of failed checks in a row after which a target is unhealthy. */
  readonly unhealthyThreshold: number;
  /** The statuses that pass HTTP and HTTPS, as numbers and ranges: `200,300-302`. @default "200-399" */
  readonly matcher?: string;
}

/** A program that a load balancer forwards connections to. */
export interface Target {
  readonly ip: string;
  readonly port: number;
}

/** Targets of one kind. */
export interface TargetGroup {
  readonly arn: string;
  readonly targets: readonly Target[];
  readonly healthCheck: HealthCheck;
  /** Whether the targets see the client's address and port; otherwise they see the load balancer's. */
  readonly preserveClientIp: boolean;
}

/** A port of a load balancer. */
export interface Listener {
  readonly port: number;
  /** The ARN of the target group. */
  readonly targetGroup: string;
  /** The time without data after which a connection is ended, in seconds. @default 350 */
  readonly idleTimeout?: number;
}

/** The whole configuration of a load balancer. */
export interface LoadBalancerConfig {
  /** The load balancer's private addresses, which its network namespace has. */
  readonly addresses: readonly string[];
  readonly listeners: readonly Listener[];
  readonly targetGroups: readonly TargetGroup[];
}

/** The health of a target. It is `initial` until its first passed check, or until enough checks have failed. */
export type TargetHealth = "initial" | "healthy" | "unhealthy";

/** The health of all targets, by the target group's ARN and the target's name. */
export type Health = Readonly<Record<string, Readonly<Record<string, TargetHealth>>>>;

/** A line to the load balancer's program. */
export interface Request {
  readonly number: number;
  readonly config: LoadBalancerConfig;
}

/** A line from the load balancer's program. Each has one of the fields. */
export interface Report {
  /** The program accepts requests. */
  readonly ready?: true;
  /** The number of the last request that is in effect. */
  readonly configured?: number;
  readonly health?: Health;
  /** A line for a person. */
  readonly log?: string;
}

/** The name of a target in a group: its address and port. */
export function targetName({ ip, port }: Target): string {
  return `${ip}:${port}`;
}

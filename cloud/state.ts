import { Agent, type RequestOptions, request } from "node:http";
import { text } from "node:stream/consumers";
import type { Health, TargetGroup } from "./load-balancer/config";
import type { Subnet, VpcState } from "./vpc/state";

/** An instance that is not terminated. */
export interface Instance {
  readonly id: string;
  /** Its Name tag; without one, its id. */
  readonly name: string;
  /** `running`, `stopped` and so on. */
  readonly state: string;
  /** The number of RebootInstances until now. */
  readonly reboots: number;
  readonly type: string;
  readonly memoryMiB: number;
  readonly image: string;
  readonly zone: string;
  /** The id of its network interface. */
  readonly interface: string;
  readonly mac: string;
  /** In base64. */
  readonly userData: string;
  readonly keyName: string;
  /** In OpenSSH's format. */
  readonly publicKey: string;
  readonly metadata: { readonly enabled: boolean; readonly tokens: "optional" | "required"; readonly hopLimit: number };
}

/** A network interface of an instance or of a load balancer. */
export interface Interface {
  readonly id: string;
  readonly subnet: string;
  readonly privateIp: string;
  readonly publicIp?: string;
  readonly sourceDestCheck: boolean;
  readonly securityGroups: readonly string[];
}

/** A load balancer. */
export interface LoadBalancerState {
  readonly arn: string;
  readonly dnsName: string;
  /** The ids of its network interfaces: one in each subnet. */
  readonly interfaces: readonly string[];
  /** Whether it also uses targets in other zones than that of the subnet. */
  readonly crossZone: boolean;
  readonly listeners: readonly { readonly port: number; readonly targetGroup: string }[];
}

/** A VPC with everything in it, as the API has it. */
export interface VpcDescription extends Pick<VpcState, "cidrs" | "region" | "dns" | "routeTables" | "securityGroups"> {
  readonly id: string;
  readonly subnets: readonly (Subnet & { readonly zone: string })[];
  readonly interfaces: readonly Interface[];
  readonly instances: readonly Instance[];
  readonly loadBalancers: readonly LoadBalancerState[];
  readonly targetGroups: readonly TargetGroup[];
}

/** The state of the emulated AWS. */
export interface CloudState {
  /** Another number after each change. */
  readonly version: number;
  /** The VPCs with network interfaces. */
  readonly vpcs: readonly VpcDescription[];
}

/** Reads the state of the emulated AWS from the emulator, through its socket file (see `vpcs.py`). */
export class StateReader {
  private readonly agent = new Agent({ keepAlive: true });

  /** @param socket - the emulator's socket file */
  constructor(private readonly socket: string) {}

  /**
   * The state, as soon as it has another version; after some seconds, also the same one.
   * @param version - the version that is known @default - none: the current state, at once
   */
  read(version = 0): Promise<CloudState> {
    return this.send("GET", `/cloud?after=${version}`);
  }

  /** Sets what the API answers about the health of targets. */
  async setHealth(health: Health): Promise<void> {
    await this.send("POST", "/cloud/health", JSON.stringify(health));
  }

  /** Ends all requests. */
  close(): void {
    this.agent.destroy();
  }

  private send<T>(method: string, path: string, body = ""): Promise<T> {
    const headers = { "Content-Length": Buffer.byteLength(body) };
    return requestJson({ socketPath: this.socket, agent: this.agent, method, path, headers }, body);
  }
}

/** Sends a request, and reads its answer as JSON. */
export function requestJson<T>(options: RequestOptions, body = ""): Promise<T> {
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      text(response)
        .then((answer) => resolve(JSON.parse(answer)))
        .catch(reject);
    });
    sent.on("error", reject).end(body);
  });
}

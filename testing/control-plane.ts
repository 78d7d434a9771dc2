import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Ended, type Running, start, until } from "../cloud/program";
import { API_SERVER_PORT } from "../model/ports";
import { installControlPlane } from "./kubernetes-programs";
import { SshNetwork } from "./ssh-hosts";

/** The addresses of the three etcd members, which are the control plane machines'. */
export const MEMBERS = ["172.31.0.10", "172.31.0.11", "172.31.0.12"];

const SERVICE_NETWORK = "172.32.0.0/24";

/** The folder of the programs in the folder of a control plane. */
const PROGRAMS = "programs";

/** The properties of a {@link ControlPlane}. */
export interface ControlPlaneProps {
  /** The folder that `npm run credentials` writes. Programs that start later may use another one. */
  readonly credentials: string;
  /** Names that resolve to the first machine, such as the load balancer's. */
  readonly names: readonly string[];
  /** The addresses of machines and services, besides the members'. */
  readonly addresses: readonly string[];
}

/** The addresses of an API server. */
export interface ApiServerProps {
  /** Its own address. */
  readonly address: string;
  /** The address at which it listens. @default - its own */
  readonly bindAddress?: string;
  /** @default 6443 */
  readonly port?: number;
}

/**
 * A control plane of real programs, with part 2's flags (except those that newer versions than Kubernetes 1.21 no longer
 * have), in a separate network. Every machine of the cluster is an address in it. All programs end with the program that
 * opened it.
 */
export class ControlPlane {
  /** The folder whose files the next started programs use. */
  credentials: string;
  private readonly running = new Map<string, Running>();

  private constructor(
    private readonly network: SshNetwork,
    private readonly folder: string,
    { credentials }: ControlPlaneProps,
  ) {
    this.credentials = credentials;
  }

  /** Opens a control plane in which no program runs yet. @throws Error if a release file is missing */
  static async open(props: ControlPlaneProps): Promise<ControlPlane> {
    const folder = mkdtempSync(join(tmpdir(), "control-plane-"));
    // Before the network, which would stay open if a file is missing.
    installControlPlane(join(folder, PROGRAMS));
    const plane = new ControlPlane(await SshNetwork.open(), folder, props);
    const hosts = [readFileSync("/etc/hosts", "utf8"), ...props.names.map((name) => `${MEMBERS[0]} ${name}\n`)];
    writeFileSync(plane.hostsFile, hosts.join("\n"));
    for (const address of [...MEMBERS, ...props.addresses]) {
      const [program, ...args] = [...plane.network.inside, "ip", "address", "add", `${address}/32`, "dev", "lo"];
      execFileSync(program as string, args);
    }
    return plane;
  }

  /** The path of a certificate or key by its file name. An absolute path is not changed. */
  pem(name: string): string {
    return resolve(this.credentials, "ca-authority", name);
  }

  /** The path of a user's kubeconfig. */
  kubeconfig(user: string): string {
    return join(this.credentials, "kubeconfigs", `${user}.kubeconfig`);
  }

  /** Starts the etcd members, and waits until they serve requests. */
  async startEtcd(): Promise<void> {
    for (const index of MEMBERS.keys()) this.startMember(index);
    for (const index of MEMBERS.keys()) await this.memberServes(index);
  }

  /** Starts an etcd member. It keeps the data of its previous run. */
  startMember(index: number): void {
    const name = (member: number) => `master-${member}`;
    const cluster = MEMBERS.map((address, member) => `${name(member)}=https://${address}:2380`).join(",");
    const own = { cert: this.pem("master-kubernetes.pem"), key: this.pem("master-kubernetes-key.pem") };
    const address = MEMBERS[index];
    this.background(`etcd-${index}`, [
      "etcd",
      `--name=${name(index)}`,
      `--data-dir=${join(this.folder, name(index))}`,
      `--cert-file=${own.cert}`,
      `--key-file=${own.key}`,
      `--peer-cert-file=${own.cert}`,
      `--peer-key-file=${own.key}`,
      `--trusted-ca-file=${this.pem("ca.pem")}`,
      `--peer-trusted-ca-file=${this.pem("ca.pem")}`,
      "--peer-client-cert-auth",
      "--client-cert-auth",
      `--listen-peer-urls=https://${address}:2380`,
      `--listen-client-urls=https://${address}:2379${index === 0 ? ",https://127.0.0.1:2379" : ""}`,
      `--advertise-client-urls=https://${address}:2379`,
      `--initial-advertise-peer-urls=https://${address}:2380`,
      "--initial-cluster-token=etcd-cluster-0",
      `--initial-cluster=${cluster}`,
      "--initial-cluster-state=new",
    ]);
  }

  /** Waits until an etcd member has joined another one and serves requests. */
  memberServes(index: number): Promise<void> {
    return this.hasPrinted(`etcd-${index}`, /ready to serve client requests/);
  }

  /** Kills a started program. */
  async kill(name: string): Promise<void> {
    const program = this.running.get(name) as Running;
    this.running.delete(name);
    program.process.kill("SIGKILL");
    await program.ended;
  }

  /** Starts an API server, and waits until it is ready. */
  async startApiServer(name: string, { address, bindAddress, port = API_SERVER_PORT }: ApiServerProps): Promise<void> {
    this.background(name, [
      "kube-apiserver",
      `--advertise-address=${address}`,
      `--bind-address=${bindAddress ?? address}`,
      "--allow-privileged=true",
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NamespaceLifecycle,NodeRestriction,LimitRanger,ServiceAccount,DefaultStorageClass,ResourceQuota",
      `--client-ca-file=${this.pem("ca.pem")}`,
      `--etcd-cafile=${this.pem("ca.pem")}`,
      `--etcd-certfile=${this.pem("master-kubernetes.pem")}`,
      `--etcd-keyfile=${this.pem("master-kubernetes-key.pem")}`,
      `--etcd-servers=${MEMBERS.map((member) => `https://${member}:2379`).join(",")}`,
      `--encryption-provider-config=${join(this.credentials, "encryption-config.yaml")}`,
      `--kubelet-certificate-authority=${this.pem("ca.pem")}`,
      `--kubelet-client-certificate=${this.pem("master-kubernetes.pem")}`,
      `--kubelet-client-key=${this.pem("master-kubernetes-key.pem")}`,
      `--secure-port=${port}`,
      // Both are needed since Kubernetes 1.20.
      `--service-account-issuer=https://${MEMBERS[0]}:${API_SERVER_PORT}`,
      `--service-account-key-file=${this.pem("service-account.pem")}`,
      `--service-account-signing-key-file=${this.pem("service-account-key.pem")}`,
      `--service-cluster-ip-range=${SERVICE_NETWORK}`,
      `--tls-cert-file=${this.pem("master-kubernetes.pem")}`,
      `--tls-private-key-file=${this.pem("master-kubernetes-key.pem")}`,
    ]);
    const admin = () => this.kubectl("admin", `--server=https://${address}:${port}`, "get", "--raw", "/readyz");
    await this.eventually(`${name} is ready`, async () => (await admin()).output === "ok", name);
  }

  /** Starts the controller manager and the scheduler. */
  startManagers(): void {
    this.background("kube-controller-manager", [
      "kube-controller-manager",
      "--cluster-cidr=172.20.0.0/16",
      "--allocate-node-cidrs=true",
      "--cluster-name=k8s-cluster-from-ground-up",
      `--cluster-signing-cert-file=${this.pem("ca.pem")}`,
      `--cluster-signing-key-file=${this.pem("ca-key.pem")}`,
      `--kubeconfig=${this.kubeconfig("kube-controller-manager")}`,
      "--leader-elect=false",
      `--root-ca-file=${this.pem("ca.pem")}`,
      `--service-account-private-key-file=${this.pem("service-account-key.pem")}`,
      `--service-cluster-ip-range=${SERVICE_NETWORK}`,
      "--use-service-account-credentials=true",
    ]);
    const config = join(this.folder, "kube-scheduler.yaml");
    writeFileSync(
      config,
      `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: ${this.kubeconfig("kube-scheduler")}
leaderElection:
  leaderElect: false
`,
    );
    this.background("kube-scheduler", ["kube-scheduler", `--config=${config}`]);
  }

  /** Runs kubectl with a user's kubeconfig, given by name or by absolute path. */
  kubectl(user: string, ...args: readonly string[]): Promise<Ended> {
    const file = user.startsWith("/") ? user : this.kubeconfig(user);
    return this.run(["kubectl", `--kubeconfig=${file}`, "--request-timeout=10s", ...args]);
  }

  /** Runs etcdctl with a certificate and its key, or with none. @param certificate - its file name or path without `.pem` */
  etcdctl(certificate: string | undefined, ...args: readonly string[]): Promise<Ended> {
    const own =
      certificate === undefined
        ? []
        : [`--cert=${this.pem(`${certificate}.pem`)}`, `--key=${this.pem(`${certificate}-key.pem`)}`];
    const endpoints = `--endpoints=${MEMBERS.map((member) => `https://${member}:2379`).join(",")}`;
    const options = [`--cacert=${this.pem("ca.pem")}`, ...own, endpoints, "--command-timeout=10s", "--dial-timeout=3s"];
    return this.run(["etcdctl", ...options, ...args]);
  }

  /** Runs a program in the network, and waits for its end. */
  run(command: readonly string[]): Promise<Ended> {
    return this.start(command).ended;
  }

  /** Starts a program in the background. */
  background(name: string, command: readonly string[]): void {
    this.running.set(name, this.start(command));
  }

  /** Waits until a program has printed a text. */
  async hasPrinted(name: string, text: RegExp): Promise<void> {
    const { output, process } = this.running.get(name) as Running;
    await until(() => text.test(output()), { what: () => `${name}: ${output().slice(-2000)}`, process, seconds: 300 });
  }

  /**
   * Waits until a condition is true.
   * @param condition - its name, for the error
   * @param name - the program whose output the error contains
   */
  async eventually(condition: string, isTrue: () => Promise<boolean>, name?: string): Promise<void> {
    const seconds = 180;
    const deadline = Date.now() + seconds * 1000;
    while (!(await isTrue())) {
      const log = name === undefined ? "" : (this.running.get(name)?.output().slice(-2000) ?? "");
      if (Date.now() > deadline) throw new Error(`not true after ${seconds} seconds: ${condition}\n${log}`);
      await sleep(300);
    }
  }

  /** A folder for a test's files. */
  scratch(name: string): string {
    const path = join(this.folder, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Ends all programs. */
  close(): void {
    this.network.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private start(command: readonly string[]): Running {
    const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
    return start([...this.network.inside, "sh", "-c", script, this.hostsFile, ...command], {
      cwd: this.folder,
      env: { PATH: `${join(this.folder, PROGRAMS)}:${process.env.PATH}`, HOME: this.folder },
    });
  }

  private get hostsFile(): string {
    return join(this.folder, "hosts");
  }
}

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Block } from "../../cloud/terraform-json";
import { checkFolder } from "../../credentials/check";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { API_SERVER_PORT } from "../../model/ports";
import { TESTED } from "../../model/versions";
import { ControlPlane, MEMBERS } from "../../testing/control-plane";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { AWS_ATTRIBUTES, issueDefaultCluster, MACHINES, reissue } from "../../testing/issued-cluster";
import { story } from "../../testing/story";
import { synthesizeCluster } from "../../testing/synthesize";
import type { Computed } from "../../testing/tls-resources";
import { TUTORIAL_NAME } from "../../testing/tutorial";

const json = synthesizeCluster();
const worker = (index: number) => `${TUTORIAL_NAME}-worker-${index}`;
const NODE = "ip-172-31-0-20";
const OTHER_NODE = "ip-172-31-0-21";
const NODE_ADDRESS = "172.31.0.20";
const SERVICE_ADDRESS = "172.32.0.1";

/** The user and group that each kubeconfig must have at the API server. */
const IDENTITIES: Readonly<Record<string, readonly [user: string, group: string]>> = {
  admin: ["admin", "system:masters"],
  "kube-proxy": ["system:kube-proxy", "system:node-proxier"],
  "kube-controller-manager": ["system:kube-controller-manager", "system:kube-controller-manager"],
  "kube-scheduler": ["system:kube-scheduler", "system:kube-scheduler"],
  [worker(0)]: [`system:node:${NODE}`, "system:nodes"],
  [worker(1)]: [`system:node:${OTHER_NODE}`, "system:nodes"],
  [worker(2)]: ["system:node:ip-172-31-0-22", "system:nodes"],
};

/** The API server with the correct credentials: the first machine's, at all its addresses. */
const API_SERVER = { address: MEMBERS[0] as string, bindAddress: "0.0.0.0" };

const SERVICE_ACCOUNT = "system:serviceaccount:default:default";

/** A word in base64, as the data of a secret. */
const WORD = Buffer.from("abracadabra").toString("base64");

const MANAGERS = ["kube-controller-manager", "kube-scheduler"];

/** A request that etcd refuses. The timeout is short, because etcdctl would repeat it for a long time. */
const REFUSED = ["--command-timeout=2s", "get", "greeting"];

/** A program in the kubelet's place: mutual TLS with the worker's certificate. It answers with the client's common name. */
const KUBELET = `
const { createServer } = require("node:https");
const { readFileSync } = require("node:fs");
const [cert, key, ca] = process.argv.slice(1).map((path) => readFileSync(path));
createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (request, response) => {
  response.end(request.socket.getPeerCertificate().subject.CN);
}).listen(10250, "${NODE_ADDRESS}", () => console.log("listening"));
`;

type Attributes = Computed[string];

let computed: Computed;
let scratch: string;
let whole: string;
let plane: ControlPlane;

beforeAll(async () => {
  computed = await issueDefaultCluster(json);
  scratch = mkdtempSync(join(tmpdir(), "credentials-"));
  whole = write("whole", computed);
  plane = await ControlPlane.open({
    credentials: whole,
    names: [AWS_ATTRIBUTES["aws_lb.load-balancer"]?.dns_name as string],
    addresses: [
      ...Object.values(MACHINES)
        .map(({ privateIp }) => privateIp)
        .filter((address) => !MEMBERS.includes(address)),
      SERVICE_ADDRESS,
    ],
  });
});

afterAll(() => {
  plane?.close();
  rmSync(scratch, { recursive: true });
});

/** Writes a credentials folder. @returns its path */
function write(name: string, having: Computed): string {
  const folder = join(scratch, name);
  writeFolder(folder, credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, having))), false);
  return folder;
}

/** Writes a credentials folder with problems, and expects `check` to report them. @returns its path */
function broken(name: string, having: Computed, ...problems: readonly string[]): string {
  const folder = write(name, having);
  expect(problemsOf(folder)).toEqual(problems);
  return folder;
}

function problemsOf(folder: string): string[] {
  const findings = checkFolder(folder, { now: new Date(), days: 14 });
  return findings.flatMap(({ path, problems }) =>
    problems.map((problem) => `${path.replace("ca-authority/", "")}: ${problem}`),
  );
}

const succeed = async (running: ReturnType<ControlPlane["run"]>): Promise<string> => {
  const { status, output } = await running;
  expect({ status, output }).toEqual({ status: 0, output });
  return output;
};
const admin = (...args: string[]) => succeed(plane.kubectl("admin", ...args));

/** Writes a manifest. @returns its path */
function manifest(name: string, content: object): string {
  const file = join(plane.scratch("manifests"), `${name}.json`);
  writeFileSync(file, JSON.stringify(content));
  return file;
}

const nodeManifest = (name: string) => manifest(name, { apiVersion: "v1", kind: "Node", metadata: { name } });

/** The user of a kubeconfig at the API server. */
async function whoami(...args: Parameters<ControlPlane["kubectl"]>): Promise<{ username: string; groups: string[] }> {
  return JSON.parse(await succeed(plane.kubectl(...args, "auth", "whoami", "-o", "json"))).status.userInfo;
}

/** Runs kubectl without a kubeconfig, with other options to log in. */
const anonymous = (server: string, ...args: string[]) =>
  plane.kubectl("/dev/null", `--server=${server}`, `--certificate-authority=${plane.pem("ca.pem")}`, ...args);

/** Starts a second API server at port 6444 with another credentials folder. */
async function startBrokenApiServer(folder: string, address: string): Promise<void> {
  plane.credentials = folder;
  await plane.startApiServer("broken", { address, port: 6444 });
  plane.credentials = whole;
}

/** A secret as etcd stores it. */
function storedSecret(): Promise<string> {
  return succeed(plane.etcdctl("master-kubernetes", "get", "/registry/secrets/default/hidden"));
}

async function startManagers(): Promise<void> {
  plane.startManagers();
  await plane.eventually(
    "there is a service account",
    async () => (await plane.kubectl("admin", "get", "serviceaccount", "default")).status === 0,
    "kube-controller-manager",
  );
}

/** Makes the node ready and expects a new pod to be bound to it: the controller manager and the scheduler work. */
async function bindsPod(name: string): Promise<void> {
  const time = new Date().toISOString().replace(/\.\d+/, "");
  const size = { cpu: "2", memory: "4Gi", pods: "110" };
  const status = {
    capacity: size,
    allocatable: size,
    addresses: [{ type: "InternalIP", address: NODE_ADDRESS }],
    daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
    conditions: [
      { type: "Ready", status: "True", reason: "KubeletReady", lastHeartbeatTime: time, lastTransitionTime: time },
    ],
  };
  // curl, like a kubelet: `kubectl patch` first reads an object that a kubelet may not read.
  const patch = ["--request", "PATCH", "--header", "Content-Type: application/merge-patch+json"];
  const data = ["--data", JSON.stringify({ status })];
  const url = `https://127.0.0.1:${API_SERVER_PORT}/api/v1/nodes/${NODE}/status`;
  await succeed(curl(worker(0), ...patch, ...data, url));
  await admin("run", name, "--image=registry.example/pause");
  const boundTo = async () =>
    (await plane.kubectl("admin", "get", "pod", name, "-o", "jsonpath={.spec.nodeName}")).output;
  await plane.eventually(`the pod ${name} is bound`, async () => (await boundTo()) === NODE, "kube-scheduler");
}

/** Runs curl with or without a client certificate. curl verifies certificates with OpenSSL. */
function curl(pair: string | undefined, ...args: string[]): ReturnType<ControlPlane["run"]> {
  const own = pair === undefined ? [] : ["--cert", plane.pem(`${pair}.pem`), "--key", plane.pem(`${pair}-key.pem`)];
  const options = ["--silent", "--show-error", "--fail-with-body", "--cacert", plane.pem("ca.pem")];
  return plane.run(["curl", ...options, ...own, ...args]);
}

/** The owner of a token at the API server, at the address that pods use. */
async function ownerOf(token: string): Promise<string> {
  const server = `https://${SERVICE_ADDRESS}:${API_SERVER_PORT}`;
  const answer = await succeed(anonymous(server, `--token=${token}`, "auth", "whoami", "-o", "json"));
  return JSON.parse(answer).status.userInfo.username;
}

/** Issues the certificate with the given name again, from a changed configuration. The keys stay. */
async function reissued(name: string, change: (request: Block, certificate: Block) => void): Promise<Computed> {
  const other = JSON.parse(JSON.stringify(json));
  change(
    other.resource.tls_cert_request[`${name}-request`],
    other.resource.tls_locally_signed_cert[`${name}-certificate`],
  );
  return reissue(other, computed, new RegExp(`\\.${name}-(request|certificate)$`));
}

story({
  "the programs have these versions": async () => {
    const { kubernetes, etcd } = TESTED;
    for (const program of ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]) {
      expect(await succeed(plane.run([program, "--version"]))).toBe(`Kubernetes v${kubernetes}\n`);
    }
    expect(await succeed(plane.run(["kubectl", "version", "--client"]))).toMatch(`Client Version: v${kubernetes}\n`);
    expect(await succeed(plane.run(["etcd", "--version"]))).toMatch(`etcd Version: ${etcd}\n`);
    expect(await succeed(plane.run(["etcdctl", "version"]))).toMatch(`etcdctl version: ${etcd}\n`);
  },

  "npm run credentials -- check finds no problems in the correct folder": async () => {
    expect(problemsOf(whole)).toEqual([]);
  },

  "three etcd members form a cluster, each with the control plane's certificate and key": async () => {
    await plane.startEtcd();
    await succeed(plane.etcdctl("master-kubernetes", "endpoint", "health"));
    await succeed(plane.etcdctl("master-kubernetes", "put", "greeting", "hello"));
    expect(await succeed(plane.etcdctl("master-kubernetes", "get", "greeting"))).toBe("greeting\nhello\n");
    expect(
      JSON.parse(await succeed(plane.etcdctl("master-kubernetes", "member", "list", "-w", "json"))).members,
    ).toHaveLength(3);
  },

  "etcd refuses a client without a certificate, and one with a certificate from another CA": async () => {
    expect((await plane.etcdctl(undefined, ...REFUSED)).status).not.toBe(0);
    const other = write("another-ca", await issueDefaultCluster(json));
    expect((await plane.etcdctl(join(other, "ca-authority/master-kubernetes"), ...REFUSED)).status).not.toBe(0);
  },

  "the API server starts with the encryption config, and answers at each of its names": async () => {
    await plane.startApiServer("kube-apiserver", API_SERVER);
    const names = ["127.0.0.1", SERVICE_ADDRESS, ...MEMBERS, AWS_ATTRIBUTES["aws_lb.load-balancer"]?.dns_name];
    for (const name of names) {
      expect(await admin(`--server=https://${name}:${API_SERVER_PORT}`, "get", "--raw", "/livez")).toBe("ok");
    }
  },

  "each kubeconfig has the right user and group": async () => {
    for (const [name, [username, group]] of Object.entries(IDENTITIES)) {
      expect(await whoami(name)).toMatchObject({ username, groups: [group, "system:authenticated"] });
    }
  },

  "each kubeconfig has the permissions that it needs, and no more": async () => {
    const may = async (user: string, ...action: string[]) =>
      (await plane.kubectl(user, "auth", "can-i", ...action)).output.trim().split(" ")[0];
    expect(await may("kube-scheduler", "create", "pods", "--subresource=binding")).toBe("yes");
    expect(await may("kube-proxy", "watch", "endpointslices.discovery.k8s.io")).toBe("yes");
    for (const user of ["kube-scheduler", "kube-proxy", worker(0)])
      expect(await may(user, "list", "secrets")).toBe("no");
    expect(await may("admin", "*", "*")).toBe("yes");
  },

  "a kubelet can create its own Node and no other": async () => {
    await succeed(plane.kubectl(worker(0), "create", "-f", nodeManifest(NODE)));
    const other = await plane.kubectl(worker(0), "create", "-f", nodeManifest(OTHER_NODE));
    expect(other.status).toBe(1);
    expect(other.output).toContain(`node "${NODE}" is not allowed to modify node "${OTHER_NODE}"`);
  },

  "the controller manager and the scheduler bind a pod to the node when it is ready": async () => {
    await startManagers();
    await bindsPod("probe");
  },

  "a service account's token is accepted": async () => {
    const token = (await admin("create", "token", "default")).trim();
    expect(await ownerOf(token)).toBe(SERVICE_ACCOUNT);
  },

  "the controller manager signs a certificate request with the CA's key": async () => {
    const folder = plane.scratch("csr");
    const [key, request, certificate] = ["key.pem", "request.pem", "certificate.pem"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    execFileSync(
      "openssl",
      [
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        request,
        "-subj",
        "/O=developers/CN=jane",
      ],
      { stdio: "pipe" },
    );
    const spec = {
      request: readFileSync(request).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      usages: ["client auth"],
    };
    const csr = {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name: "jane" },
      spec,
    };
    await admin("create", "-f", manifest("csr", csr));
    await admin("certificate", "approve", "jane");
    const signed = async () =>
      (await plane.kubectl("admin", "get", "csr", "jane", "-o", "jsonpath={.status.certificate}")).output;
    await plane.eventually("the request is signed", async () => (await signed()) !== "", "kube-controller-manager");
    writeFileSync(certificate, Buffer.from(await signed(), "base64"));
    const verified = execFileSync("openssl", [
      "verify",
      "-purpose",
      "sslclient",
      "-CAfile",
      plane.pem("ca.pem"),
      certificate,
    ]);
    expect(verified.toString()).toBe(`${certificate}: OK\n`);
    const own = [`--client-certificate=${certificate}`, `--client-key=${key}`];
    const { output } = await anonymous(`https://127.0.0.1:${API_SERVER_PORT}`, ...own, "auth", "whoami", "-o", "json");
    expect(JSON.parse(output).status.userInfo).toMatchObject({
      username: "jane",
      groups: ["developers", "system:authenticated"],
    });
  },

  "the API server and a kubelet accept each other's certificates": async () => {
    const kubelet = async (pair: string) => {
      const files = [plane.pem(`${pair}.pem`), plane.pem(`${pair}-key.pem`), plane.pem("ca.pem")];
      plane.background("kubelet", [process.execPath, "-e", KUBELET, ...files]);
      await plane.hasPrinted("kubelet", /listening/);
    };
    const proxyRequest = ["get", "--raw", `/api/v1/nodes/${NODE}/proxy/whoami`];
    await kubelet(worker(0));
    expect(await admin(...proxyRequest)).toBe("kubernetes");
    expect((await curl(undefined, `https://${NODE_ADDRESS}:10250/`)).output).toMatch(/certificate required/);
    await plane.kill("kubelet");
    await kubelet("kube-proxy");
    expect((await plane.kubectl("admin", ...proxyRequest)).output).toContain("cannot validate certificate");
    await plane.kill("kubelet");
  },

  "secrets are encrypted in etcd with the key of the state": async () => {
    await admin("create", "secret", "generic", "hidden", "--from-literal=word=abracadabra");
    const stored = await storedSecret();
    expect(stored).toMatch(/k8s:enc:aescbc:v1:key-[0-9a-f]{8}:/);
    expect(stored).not.toContain("abracadabra");
    expect(await admin("get", "secret", "hidden", "-o", "jsonpath={.data.word}")).toBe(WORD);
  },

  "etcd and the API server keep working when etcd's leader is lost": async () => {
    const status = await succeed(plane.etcdctl("master-kubernetes", "endpoint", "status", "-w", "json"));
    const members: { Status: { leader: number; header: { member_id: number } } }[] = JSON.parse(status);
    const leader = members.findIndex(({ Status }) => Status.leader === Status.header.member_id);
    await plane.kill(`etcd-${leader}`);
    // Until the two other members have elected a leader, a write waits or is refused.
    const put = () => plane.etcdctl("master-kubernetes", "put", "greeting", "still here");
    await plane.eventually("etcd has another leader", async () => (await put()).status === 0);
    expect(await succeed(plane.etcdctl("master-kubernetes", "get", "greeting"))).toBe("greeting\nstill here\n");
    const create = () => plane.kubectl("admin", "create", "configmap", "after-the-loss");
    await plane.eventually("the API server writes again", async () =>
      /created|already exists/.test((await create()).output),
    );
    plane.startMember(leader);
    await plane.memberServes(leader);
    await succeed(plane.etcdctl("master-kubernetes", "endpoint", "health"));
  },

  "broken: clients refuse an API server without 127.0.0.1 and the service address, and it refuses tokens of another key":
    async () => {
      const other = await issueDefaultCluster(json);
      const having = await reissued("master-kubernetes", (request) => {
        request.ip_addresses = request.ip_addresses.filter(
          (address: string) => !["127.0.0.1", SERVICE_ADDRESS].includes(address),
        );
      });
      const pairs = {
        ...having,
        "tls_private_key.service-account-private-key": other[
          "tls_private_key.service-account-private-key"
        ] as Attributes,
      };
      const folder = broken(
        "broken-server",
        pairs,
        "master-kubernetes.pem: lacks the name 127.0.0.1",
        `master-kubernetes.pem: lacks the name ${SERVICE_ADDRESS}`,
        "service-account.pem: does not match ca-authority/service-account-key.pem",
      );
      const address = MEMBERS[1] as string;
      await startBrokenApiServer(folder, address);
      const server = `--server=https://${address}:6444`;
      for (const name of ["127.0.0.1", SERVICE_ADDRESS]) {
        const { status, output } = await plane.kubectl("admin", server, `--tls-server-name=${name}`, "get", "nodes");
        expect(status).toBe(1);
        expect(output).toMatch(new RegExp(`certificate is valid for .*, not ${name.replaceAll(".", "\\.")}`));
      }
      // The token is signed with one key and verified with another key's certificate.
      const token = (await admin(server, "create", "token", "default")).trim();
      const { status, output } = await anonymous(`https://${address}:6444`, `--token=${token}`, "auth", "whoami");
      expect({ status, output }).toEqual({ status: 1, output: expect.stringContaining("Unauthorized") });
      await plane.kill("broken");
    },

  "broken: users with other names and groups lack permissions": async () => {
    const user = async (name: string, change: (subject: Block) => void, problem: string) => {
      const folder = broken(`broken-${name}`, await reissued(name, (request) => change(request.subject[0])), problem);
      return join(folder, "kubeconfigs", `${name.startsWith("worker") ? `${TUTORIAL_NAME}-${name}` : name}.kubeconfig`);
    };
    const kubelet = await user(
      "worker-1",
      (subject) => {
        subject.organization = "nodes";
      },
      `${worker(1)}.pem: organization must be system:nodes, got: nodes`,
    );
    const made = await plane.kubectl(kubelet, "create", "-f", nodeManifest(OTHER_NODE));
    expect({ status: made.status, output: made.output }).toEqual({
      status: 1,
      output: expect.stringContaining("forbidden"),
    });
    await succeed(plane.kubectl(worker(1), "create", "-f", nodeManifest(OTHER_NODE)));

    for (const [name, ...action] of [
      ["kube-scheduler", "create", "pods", "--subresource=binding"],
      ["kube-proxy", "watch", "endpointslices.discovery.k8s.io"],
    ] as const) {
      const file = await user(
        name,
        (subject) => {
          subject.common_name = name;
        },
        `${name}.pem: common name must be system:${name}, got: ${name}`,
      );
      expect((await plane.kubectl(file, "auth", "can-i", ...action)).output).toMatch(/^no\b/);
    }
  },

  "broken: an administrator's certificate from another CA, an expired one, and one with a swapped key are refused":
    async () => {
      const kubeconfig = (folder: string) => join(folder, "kubeconfigs/admin.kubeconfig");
      const others = Object.entries(await issueDefaultCluster(json)).filter(([address]) => address.includes(".admin-"));
      const foreign = broken(
        "foreign",
        { ...computed, ...Object.fromEntries(others) },
        "admin.pem: is not signed by the CA in ca.pem",
        "admin.pem: has an authority key identifier that is not ca.pem's",
      );
      const expired = broken(
        "expired",
        await reissued("admin", (_request, certificate) => {
          certificate.validity_period_hours = 0;
        }),
        expect.stringMatching(/^admin\.pem: expired on /),
      );
      const [admins, proxys] = ["tls_private_key.admin-private-key", "tls_private_key.kube-proxy-private-key"] as const;
      const swapped = broken(
        "swapped",
        { ...computed, [admins]: computed[proxys] as Attributes, [proxys]: computed[admins] as Attributes },
        "kube-proxy.pem: does not match ca-authority/kube-proxy-key.pem",
        "admin.pem: does not match ca-authority/admin-key.pem",
      );
      for (const [file, message] of [
        [kubeconfig(foreign), "Unauthorized|must be logged in|unknown authority"],
        [kubeconfig(expired), "Unauthorized|must be logged in|expired"],
        [kubeconfig(swapped), "private key does not match public key"],
      ] as const) {
        const { status, output } = await plane.kubectl(file, "get", "nodes");
        expect({ status, output }).toEqual({ status: 1, output: expect.stringMatching(message) });
      }
    },

  "broken: etcd refuses a certificate without clientAuth, from clients and from its own members": async () => {
    const folder = broken(
      "no-client",
      await reissued("master-kubernetes", (_request, certificate) => {
        certificate.allowed_uses = certificate.allowed_uses.filter((use: string) => use !== "client_auth");
      }),
      "master-kubernetes.pem: lacks the extended key usage clientAuth",
    );
    expect((await plane.etcdctl(join(folder, "ca-authority/master-kubernetes"), ...REFUSED)).status).not.toBe(0);
    await plane.kill("etcd-2");
    plane.credentials = folder;
    plane.startMember(2);
    plane.credentials = whole;
    await plane.hasPrinted("etcd-2", /"remote-peer-id":.*"error":"remote error: tls: bad certificate"/);
    await succeed(plane.etcdctl("master-kubernetes", "get", "greeting"));
    await plane.kill("etcd-2");
    plane.startMember(2);
    await plane.memberServes(2);
  },

  "broken: etcd refuses to start without its key; OpenSSL refuses certificates without authority key identifiers, and Kubernetes accepts them":
    async () => {
      const folder = write("missing", computed);
      rmSync(join(folder, "ca-authority/master-kubernetes-key.pem"));
      expect(problemsOf(folder)).toEqual(["master-kubernetes-key.pem: is missing"]);
      const key = join(folder, "ca-authority/master-kubernetes-key.pem");
      const ended = await plane.run([
        "etcd",
        "--data-dir",
        plane.scratch("missing"),
        "--name=none",
        "--listen-client-urls=https://172.31.0.20:2379",
        "--advertise-client-urls=https://172.31.0.20:2379",
        `--cert-file=${plane.pem("master-kubernetes.pem")}`,
        `--key-file=${key}`,
      ]);
      expect(ended.status).not.toBe(0);

      // A CA certificate without an identifier adds none to the certificates that it signs. The usual CA certificate is then
      // restored.
      const certificate = "tls_self_signed_cert.ca-certificate";
      const other = JSON.parse(JSON.stringify(json));
      delete other.resource.tls_self_signed_cert["ca-certificate"].set_subject_key_id;
      const without = await reissue(other, computed, /\.(ca-certificate|(admin|master-kubernetes)-certificate)$/);
      const dropped = broken(
        "no-identifier",
        { ...without, [certificate]: computed[certificate] as Attributes },
        "master-kubernetes.pem: has no authority key identifier",
        "admin.pem: has no authority key identifier",
      );
      const address = MEMBERS[1] as string;
      await startBrokenApiServer(dropped, address);
      const url = `https://${address}:6444`;
      const kubeconfig = join(dropped, "kubeconfigs/admin.kubeconfig");
      await succeed(plane.kubectl(kubeconfig, `--server=${url}`, "get", "nodes"));
      expect((await curl("admin", `${url}/livez`)).output).toContain("self-signed certificate");
      expect(await succeed(curl("admin", `https://${MEMBERS[0]}:${API_SERVER_PORT}/livez`))).toBe("ok");
      await plane.kill("broken");
    },

  "after the CA's certificate is renewed, machines get the new files one after the other, and no client is refused":
    async () => {
      const token = (await admin("create", "token", "default")).trim();
      computed = await reissue(json, computed, /_cert\./);
      const renewed = write("renewed", computed);
      const noClientIsRefused = async () => {
        for (const folder of [whole, renewed]) {
          plane.credentials = folder;
          await succeed(plane.etcdctl("master-kubernetes", "endpoint", "health"));
          expect(await whoami("admin")).toMatchObject({ username: "admin" });
          expect(await ownerOf(token)).toBe(SERVICE_ACCOUNT);
        }
      };
      await noClientIsRefused();
      for (const index of MEMBERS.keys()) {
        await plane.kill(`etcd-${index}`);
        plane.startMember(index);
        await plane.memberServes(index);
        await noClientIsRefused();
      }
      await plane.kill("kube-apiserver");
      await plane.startApiServer("kube-apiserver", API_SERVER);
      await noClientIsRefused();
      for (const name of MANAGERS) await plane.kill(name);
      await startManagers();
      await bindsPod("after-the-renewal");
    },

  "the key for secrets is replaced: the new key is added, then moved first, and all secrets are written again":
    async () => {
      const folder = plane.credentials;
      computed = await reissue(json, computed, /encryption/);
      const config = "encryption-config.yaml";
      const only = readFileSync(join(write("rotated", computed), config), "utf8");
      const entry = / {6}- name: (\S+)\n {8}secret: .*\n/;
      const [[before], [after, name]] = [readFileSync(join(folder, config), "utf8"), only].map(
        (text) => entry.exec(text) as RegExpExecArray,
      ) as [RegExpExecArray, RegExpExecArray];
      const secret = () => admin("get", "secret", "hidden", "-o", "jsonpath={.data.word}");
      for (const keys of [`${before}${after}`, `${after}${before}`, after as string]) {
        writeFileSync(join(folder, config), only.replace(entry, keys));
        expect(problemsOf(folder)).toEqual([]);
        await plane.kill("kube-apiserver");
        await plane.startApiServer("kube-apiserver", API_SERVER);
        expect(await secret()).toBe(WORD);
        if (keys.startsWith(after as string)) {
          const secrets = await admin("get", "secrets", "--all-namespaces", "-o", "json");
          await admin("replace", "-f", manifest("secrets", JSON.parse(secrets)));
          expect(await storedSecret()).toContain(`k8s:enc:aescbc:v1:${name}:`);
        }
      }
    },

  "with another CA key, programs with new and previous files refuse each other; after a stop and a start with the new files, the data is still there":
    async () => {
      const before = plane.credentials;
      computed = await reissue(json, computed, /ca-private-key$|_cert\./);
      const after = write("another-key", computed);
      const token = (await admin("create", "token", "default")).trim();
      plane.credentials = after;
      expect((await plane.kubectl("admin", "get", "nodes")).output).toMatch(/certificate signed by unknown authority/);
      await plane.kill("etcd-2");
      plane.startMember(2);
      await plane.hasPrinted("etcd-2", /bad certificate|unknown (certificate )?authority/);
      expect((await plane.etcdctl("master-kubernetes", ...REFUSED)).status).not.toBe(0);
      plane.credentials = before;
      await succeed(plane.etcdctl("master-kubernetes", "get", "greeting"));

      plane.credentials = after;
      const members = [...MEMBERS.keys()].map((index) => `etcd-${index}`);
      for (const name of [...MANAGERS, "kube-apiserver", ...members]) await plane.kill(name);
      await plane.startEtcd();
      await plane.startApiServer("kube-apiserver", API_SERVER);
      await startManagers();
      expect(await succeed(plane.etcdctl("master-kubernetes", "get", "greeting"))).toBe("greeting\nstill here\n");
      expect(await admin("get", "secret", "hidden", "-o", "jsonpath={.data.word}")).toBe(WORD);
      await bindsPod("after-the-outage");
      const ca = readFileSync(plane.pem("ca.pem"), "utf8");
      await plane.eventually(
        "the config map for pods contains the new CA certificate",
        async () => (await admin("get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")) === ca,
        "kube-controller-manager",
      );
      expect(await ownerOf(token)).toBe(SERVICE_ACCOUNT);
    },
});

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeSuite } from "../../cloud/requirements";
import { TESTED } from "../../model/versions";
import { checkNodesOf, startHost, typeOn, writeIssuedFolder } from "../../testing/checks";
import { installedFiles } from "../../testing/installed-files";
import { issueDefaultCluster, reissue } from "../../testing/issued-cluster";
import { type SshHost, SshNetwork } from "../../testing/ssh-hosts";
import { story } from "../../testing/story";
import { synthesizeCluster } from "../../testing/synthesize";
import type { Computed } from "../../testing/tls-resources";
import { TUTORIAL_NAME } from "../../testing/tutorial";

/** `check --nodes` of a cluster on whose machines the apply installs Kubernetes. */

const MASTER = "master-0";
const WORKER = "worker-0";
const NAMES = [MASTER, WORKER];
const OWN = `${TUTORIAL_NAME}-${WORKER}`;
const json = synthesizeCluster({
  controlPlane: { count: 1 },
  workers: { count: 1 },
  kubernetes: { version: TESTED.kubernetes },
});

/** The users of the programs, as the apply makes them. */
const USERS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

const DIFFERENT = "differs from the credentials folder: apply again, or run `npm run credentials` again";

describeSuite("files on machines", () => {
  const hosts = new Map<string, SshHost>();
  let network: SshNetwork;
  let computed: Computed;
  let scratch: string;
  let folder: string;

  beforeAll(async () => {
    [network, computed] = await Promise.all([SshNetwork.open(), issueDefaultCluster(json)]);
    scratch = mkdtempSync(join(tmpdir(), "credentials-"));
    folder = join(scratch, "ours");
    for (const name of NAMES) hosts.set(name, await startHost({ network, computed }, name));
    // All hosts have the same accounts, and those of this machine, which may have etcd's.
    const add = "sudo useradd --system --user-group --no-create-home";
    await type(MASTER, USERS.map((user) => `id ${user} >/dev/null 2>&1 || ${add} ${user}`).join("\n"));
    writeCredentials();
    await install();
  });

  afterAll(() => {
    network?.close();
    rmSync(scratch, { recursive: true });
  });

  /** Writes the credentials folder from the outputs. */
  function writeCredentials(): void {
    writeIssuedFolder(folder, json, computed);
  }

  /** Runs commands on a machine. */
  async function type(name: string, commands: string): Promise<void> {
    const { status, output } = await typeOn({ network, computed, scratch }, name, commands);
    expect({ status, output }).toEqual({ status: 0, output: "" });
  }

  /** Writes the folder's files to the machines, in the places and with the modes and owners of an apply. */
  async function install(): Promise<void> {
    for (const name of NAMES) {
      const commands = installedFiles(name).map(({ source, path, mode, owner }) => {
        const base64 = readFileSync(join(folder, source), "base64");
        return `echo ${base64} | base64 -d | sudo install -D -m ${mode} -o ${owner} -g ${owner} /dev/stdin ${path}`;
      });
      await type(name, commands.join("\n"));
    }
  }

  /** Runs `npm run credentials -- check --nodes`, and returns its findings on the machines. */
  const check = () => checkNodesOf(network, folder);

  story({
    "after an apply, the check finds each file in its place, and no other": async () => {
      const { status, found, problems } = await check();
      expect({ status, problems }).toEqual({ status: 0, problems: [] });
      expect(found.map(({ path }) => path).sort()).toEqual(
        NAMES.flatMap((name) => installedFiles(name).map(({ path }) => `${name}:${path}`)).sort(),
      );
      expect(found).toContainEqual({
        path: "master-0:/var/lib/kubernetes/front-proxy-client.pem",
        daysLeft: 364,
        problems: [],
      });
    },

    "files in the home folder are not the machine's": async () => {
      await type(MASTER, "echo nothing > ca.pem; echo nothing > admin.kubeconfig; chmod 666 *");
      expect(await check()).toMatchObject({ status: 0, problems: [] });
      await type(MASTER, "rm ca.pem admin.kubeconfig");
    },

    "keys that others can read, and files of other users, are reported": async () => {
      await type(
        MASTER,
        `sudo chmod 640 /var/lib/kubernetes/ca-key.pem
         sudo chmod 666 /etc/etcd/ca.pem
         sudo chown kube-scheduler /etc/etcd/master-kubernetes-key.pem
         sudo chown ubuntu /var/lib/kubernetes/admin.kubeconfig
         sudo chown root /var/lib/kubernetes/front-proxy-client-key.pem
         sudo chown kube-apiserver /var/lib/kubernetes/front-proxy-ca.pem`,
      );
      await type(
        WORKER,
        `sudo chown ubuntu /var/lib/kubelet/${OWN}-key.pem; sudo chmod 644 /var/lib/kubelet/kubeconfig`,
      );
      expect(await check()).toMatchObject({
        status: 1,
        problems: [
          "master-0:/etc/etcd/ca.pem: must have mode 0644, got: 0666",
          "master-0:/etc/etcd/master-kubernetes-key.pem: must belong to etcd, got: kube-scheduler",
          "master-0:/var/lib/kubernetes/admin.kubeconfig: must belong to root, got: ubuntu",
          "master-0:/var/lib/kubernetes/ca-key.pem: must have mode 0600, got: 0640",
          "master-0:/var/lib/kubernetes/front-proxy-ca.pem: must belong to root, got: kube-apiserver",
          "master-0:/var/lib/kubernetes/front-proxy-client-key.pem: must belong to kube-apiserver, got: root",
          `worker-0:/var/lib/kubelet/${OWN}-key.pem: must belong to root, got: ubuntu`,
          "worker-0:/var/lib/kubelet/kubeconfig: must have mode 0600, got: 0644",
        ],
      });
      await install();
    },

    "a certificate that its program cannot read is reported": async () => {
      await type(MASTER, "sudo chmod 600 /etc/etcd/ca.pem");
      expect((await check()).problems).toEqual(["master-0:/etc/etcd/ca.pem: must have mode 0644, got: 0600"]);
      await install();
    },

    "each missing file is reported at its place, also one that is elsewhere on the machine": async () => {
      await type(
        MASTER,
        "sudo rm /etc/etcd/ca.pem /var/lib/kubernetes/admin.kubeconfig /var/lib/kubernetes/front-proxy-ca.pem",
      );
      await type(WORKER, "sudo mv /var/lib/kube-proxy/kubeconfig kube-proxy.kubeconfig");
      const missing = (id: string) => `is missing: apply with -replace=null_resource.pems-${id}`;
      expect(await check()).toMatchObject({
        status: 1,
        problems: [
          `master-0:/etc/etcd/ca.pem: ${missing(MASTER)}`,
          `master-0:/var/lib/kubernetes/admin.kubeconfig: ${missing(MASTER)}`,
          `master-0:/var/lib/kubernetes/front-proxy-ca.pem: ${missing(MASTER)}`,
          `worker-0:/var/lib/kube-proxy/kubeconfig: ${missing(WORKER)}`,
        ],
      });
      await type(WORKER, "sudo rm kube-proxy.kubeconfig");
      await install();
    },

    "files that differ from the folder's are reported, and so are certificates without their keys": async () => {
      computed = await reissue(
        json,
        computed,
        /^tls_(private_key\.front-proxy-client-|cert_request\.front-proxy-client-|locally_signed_cert\.(front-proxy-client|worker-0)-)/,
      );
      writeCredentials();
      await type(MASTER, "echo '{}' | sudo tee /var/lib/kubernetes/encryption-config.yaml >/dev/null");
      const { status, problems } = await check();
      expect(status).toBe(1);
      expect(
        problems.filter((problem) => !problem.includes("encryption-config.yaml: ") || /keep/.test(problem)),
      ).toEqual([
        "master-0:/var/lib/kubernetes/encryption-config.yaml: differs from the credentials folder: keep it, and see 'Another key for secrets' in docs/certificates.md",
        `master-0:/var/lib/kubernetes/front-proxy-client-key.pem: ${DIFFERENT}`,
        `master-0:/var/lib/kubernetes/front-proxy-client.pem: ${DIFFERENT}`,
        `worker-0:/var/lib/kubelet/${OWN}.pem: ${DIFFERENT}`,
        "worker-0:/var/lib/kubelet/kubeconfig: client-certificate-data differs from the file in ca-authority",
        `worker-0:/var/lib/kubelet/kubeconfig: ${DIFFERENT}`,
      ]);
      await install();
      expect(await check()).toMatchObject({ status: 0, problems: [] });
    },

    "a front proxy certificate of the cluster's CA is reported": async () => {
      await type(
        MASTER,
        `cd /var/lib/kubernetes
         for end in .pem -key.pem; do
           sudo cp master-kubernetes$end front-proxy-client$end
         done`,
      );
      expect((await check()).problems).toEqual(
        expect.arrayContaining([
          "master-0:/var/lib/kubernetes/front-proxy-client.pem: is not signed by the CA in front-proxy-ca.pem",
          "master-0:/var/lib/kubernetes/front-proxy-client.pem: common name must be front-proxy-client, got: kubernetes",
        ]),
      );
      await install();
    },
  });
});

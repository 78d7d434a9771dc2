import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { type SshHost, SshNetwork, USERS } from "../../cloud/ssh-hosts";
import type { Finding } from "../../credentials/check";
import { credentialFiles } from "../../credentials/files";
import { writeFolder } from "../../credentials/folder";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { shellBlocks } from "../../testing/documented";
import { issueDefaultCluster, MACHINES, reissue } from "../../testing/issued-cluster";
import { story } from "../../testing/story";
import { synthesizeCluster } from "../../testing/synthesize";
import type { Computed } from "../../testing/tls-resources";
import { TUTORIAL_NAME, tutorialFiles } from "../../testing/tutorial";

const PROJECT = join(__dirname, "../..");
const MASTER = "master-0";
const WORKER = "worker-0";
const WORKERS = [WORKER, "worker-1"];
const NAMES = [MASTER, ...WORKERS];
const OWN = `${TUTORIAL_NAME}-${WORKER}`;
const json = synthesizeCluster({ controlPlane: { count: 1 }, workers: { count: 2 } });

/** What is typed in the folder, to bring files to the machines. */
const [COPY] = shellBlocks("part-2.md", "Kubeconfigs and encryption config, onto the machines") as [string];

/** What is typed on the machines, to put files into their places. */
const [ON_MASTER, ON_WORKER] = shellBlocks("part-2.md", "Files, into their places") as [string, string];

const STALE = "is not the folder's, which lies in /home/ubuntu: put that in its place, and restart what reads it";
const OTHER = "is not the folder's: apply again, or run `npm run credentials` anew";

describeSuite("files on machines", () => {
  const hosts = new Map<string, SshHost>();
  let network: SshNetwork;
  let computed: Computed;
  let scratch: string;
  let folder: string;

  beforeAll(async () => {
    [network, computed] = await Promise.all([SshNetwork.open(), issueDefaultCluster(json)]);
    scratch = mkdtempSync(join(tmpdir(), "credentials-"));
    // What ssh takes for two files, and for something to fill in.
    folder = join(scratch, "ours 100%h");
    await Promise.all(NAMES.map(startHost));
  });

  afterAll(() => {
    network?.close();
    rmSync(scratch, { recursive: true });
  });

  async function startHost(name: string): Promise<void> {
    const { publicIp, privateIp } = MACHINES[name] as { publicIp: string; privateIp: string };
    const authorizedKey = computed["tls_private_key.ssh-key"]?.public_key_openssh as string;
    hosts.set(name, await network.start({ name, addresses: [publicIp, privateIp], authorizedKey }));
  }

  /** Writes what the outputs say into the folder. */
  function writeCredentials(): void {
    writeFolder(folder, credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, computed))), false);
  }

  /** Copies what a machine gets of the folder, as a deploy does. */
  function deploy(name: string): void {
    const { home } = hosts.get(name) as SshHost;
    for (const [file, mode] of Object.entries(tutorialFiles(name))) {
      const target = join(home, file);
      writeFileSync(target, readFileSync(join(folder, "ca-authority", file)));
      chmodSync(target, Number.parseInt(mode, 8));
      chownSync(target, USERS.ubuntu, USERS.ubuntu);
    }
  }

  /** Copies all that the machines get: what a deploy does, and then what one types. */
  async function copy(): Promise<void> {
    NAMES.forEach(deploy);
    await typeHere(COPY);
  }

  /** Types something in the folder. */
  async function typeHere(commands: string): Promise<void> {
    const { status, output } = await start([...network.inside, "bash", "-ec", commands], { cwd: folder }).ended;
    expect({ status, output }).toEqual({ status: 0, output: "" });
  }

  const encryptionConfigOf = (having: Computed) =>
    credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, having)))["encryption-config.yaml"] as string;

  /** Types something on a machine. */
  async function type(name: string, commands: string): Promise<void> {
    const options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"];
    const key = join(scratch, "key");
    writeFileSync(key, computed["tls_private_key.ssh-key"]?.private_key_pem as string, { mode: 0o600 });
    const ssh = ["ssh", "-i", key, ...options, `ubuntu@${MACHINES[name]?.publicIp}`, `set -e\n${commands}`];
    const { status, output } = await start([...network.inside, ...ssh]).ended;
    expect({ status, output }).toEqual({ status: 0, output });
  }

  /** Puts what was copied where part 2 has it. */
  async function putIntoPlace(): Promise<void> {
    await type(MASTER, ON_MASTER);
    for (const name of WORKERS) await type(name, ON_WORKER.replace(WORKER, name));
  }

  /** What `npm run credentials -- check --nodes` says of the machines. */
  async function check(...options: string[]) {
    const command = ["npm", "run", "--silent", "credentials", "--", "check", "--nodes", "--json", "--out", folder];
    const { status, output } = await start([...network.inside, ...command, ...options], { cwd: PROJECT }).ended;
    const own = `${TUTORIAL_NAME}-`;
    const findings: Finding[] = JSON.parse(output).findings;
    const found = findings
      .filter(({ path }) => path.startsWith(own))
      .map(({ path, ...finding }) => ({ ...finding, path: path.slice(own.length) }));
    return {
      status,
      found,
      faults: found.flatMap(({ path, faults }) => faults.map((fault) => `${path}: ${fault}`)).sort(),
    };
  }

  story({
    "after a deploy: at home, each certificate with its days": async () => {
      writeCredentials();
      await copy();
      const { status, found, faults } = await check();
      expect({ status, faults }).toEqual({ status: 0, faults: [] });
      expect(found.map(({ path, daysLeft }) => `${path} ${daysLeft ?? "-"}`).sort()).toEqual(
        [
          "master-0:/home/ubuntu/admin.kubeconfig -",
          "master-0:/home/ubuntu/ca-key.pem -",
          "master-0:/home/ubuntu/ca.pem 1824",
          "master-0:/home/ubuntu/encryption-config.yaml -",
          "master-0:/home/ubuntu/kube-controller-manager.kubeconfig -",
          "master-0:/home/ubuntu/kube-scheduler.kubeconfig -",
          "master-0:/home/ubuntu/master-kubernetes-key.pem -",
          "master-0:/home/ubuntu/master-kubernetes.pem 364",
          "master-0:/home/ubuntu/service-account-key.pem -",
          "master-0:/home/ubuntu/service-account.pem 364",
          ...WORKERS.flatMap((name) => [
            `${name}:/home/ubuntu/ca.pem 1824`,
            `${name}:/home/ubuntu/${TUTORIAL_NAME}-${name}-key.pem -`,
            `${name}:/home/ubuntu/${TUTORIAL_NAME}-${name}.kubeconfig -`,
            `${name}:/home/ubuntu/${TUTORIAL_NAME}-${name}.pem 364`,
            `${name}:/home/ubuntu/kube-proxy.kubeconfig -`,
          ]),
        ].sort(),
      );
      expect(statSync(join(folder, "ssh/known_hosts")).isFile()).toBe(true);
    },

    "kubeconfigs and the encryption config need not be there; all else must": async () => {
      await type(MASTER, "rm *.kubeconfig encryption-config.yaml service-account.pem");
      for (const name of WORKERS) await type(name, "rm *.kubeconfig");
      expect(await check()).toMatchObject({
        status: 1,
        faults: [
          "master-0:/home/ubuntu/service-account.pem: is missing, there and where part 2 puts it (/var/lib/kubernetes/service-account.pem)",
        ].sort(),
      });
      await copy();
    },

    "modes, owners, and keys and names that do not fit are said of what lies there": async () => {
      await type(
        MASTER,
        `chmod 644 ca-key.pem; sudo chown stranger service-account.pem; sudo chown root admin.kubeconfig
         mv master-kubernetes.pem aside; cp ca.pem master-kubernetes.pem; rm kube-scheduler.kubeconfig`,
      );
      await type(WORKER, `openssl genrsa 2048 2>/dev/null > ${OWN}-key.pem; echo nothing > ca.pem`);
      expect(await check()).toMatchObject({
        status: 1,
        faults: [
          "master-0:/home/ubuntu/ca-key.pem: must have mode 0600, got: 0644",
          "master-0:/home/ubuntu/service-account.pem: must belong to ubuntu, got: stranger",
          "master-0:/home/ubuntu/master-kubernetes.pem: does not belong to ca-authority/master-kubernetes-key.pem",
          ...[
            "has no authority key identifier",
            "is an authority's (basic constraints)",
            "may not sign handshakes (key usage)",
            "common name must be kubernetes, got: Kubernetes",
            ...[
              "127.0.0.1",
              "172.32.0.1",
              "k8s-cluster-from-ground-up-0123456789abcdef.elb.eu-central-1.amazonaws.com",
              "kubernetes",
              "kubernetes.default",
              "kubernetes.default.svc",
              "kubernetes.default.svc.cluster",
              "kubernetes.default.svc.cluster.local",
              "172.31.0.10",
              "ip-172-31-0-10",
            ].map((name) => `lacks the name ${name}`),
            "lacks the use serverAuth",
            "lacks the use clientAuth",
            OTHER,
          ].map((fault) => `master-0:/home/ubuntu/master-kubernetes.pem: ${fault}`),
          "master-0:/home/ubuntu/admin.kubeconfig: must belong to ubuntu, got: root",
          "worker-0:/home/ubuntu/ca.pem: is no certificate in PEM",
          `worker-0:/home/ubuntu/ca.pem: ${OTHER}`,
          `worker-0:/home/ubuntu/${OWN}.pem: does not belong to ca-authority/${OWN}-key.pem`,
          `worker-0:/home/ubuntu/${OWN}-key.pem: ${OTHER}`,
        ].sort(),
      });
      await type(MASTER, "sudo rm aside admin.kubeconfig");
      await copy();
    },

    "after part 2: where it has put them, root's among them": async () => {
      await putIntoPlace();
      const { status, found, faults } = await check();
      expect({ status, faults }).toEqual({ status: 0, faults: [] });
      expect(found.map(({ path }) => path).sort()).toEqual(
        [
          "master-0:/etc/etcd/ca.pem",
          "master-0:/etc/etcd/master-kubernetes-key.pem",
          "master-0:/etc/etcd/master-kubernetes.pem",
          "master-0:/home/ubuntu/admin.kubeconfig",
          ...[
            "ca-key.pem",
            "ca.pem",
            "encryption-config.yaml",
            "kube-controller-manager.kubeconfig",
            "kube-scheduler.kubeconfig",
            "master-kubernetes-key.pem",
            "master-kubernetes.pem",
            "service-account-key.pem",
            "service-account.pem",
          ].map((file) => `master-0:/var/lib/kubernetes/${file}`),
          ...WORKERS.flatMap((name) => [
            `${name}:/var/lib/kube-proxy/kubeconfig`,
            `${name}:/var/lib/kubelet/${TUTORIAL_NAME}-${name}-key.pem`,
            `${name}:/var/lib/kubelet/${TUTORIAL_NAME}-${name}.pem`,
            `${name}:/var/lib/kubelet/kubeconfig`,
            `${name}:/var/lib/kubernetes/ca.pem`,
          ]),
        ].sort(),
      );
      // As long as is asked for, there too.
      const ending = await check("--days", "400");
      expect(ending.faults).toHaveLength(5);
      expect(ending.faults).toContainEqual(
        expect.stringMatching(/^master-0:\/var\/lib\/kubernetes\/service-account\.pem: ends in 364 days, on 20/),
      );
    },

    "after a renewal: what runs has the files from before, until they are put in place": async () => {
      computed = await reissue(json, computed, /^tls_locally_signed_cert\.(master-kubernetes|worker-0)-/);
      writeCredentials();
      await copy();
      expect(await check()).toMatchObject({
        status: 1,
        faults: [
          `master-0:/var/lib/kubernetes/master-kubernetes.pem: ${STALE}`,
          `master-0:/etc/etcd/master-kubernetes.pem: ${STALE}`,
          `worker-0:/var/lib/kubelet/${OWN}.pem: ${STALE}`,
          "worker-0:/var/lib/kubelet/kubeconfig: client-certificate-data is not what lies in ca-authority",
          `worker-0:/var/lib/kubelet/kubeconfig: ${STALE}`,
        ].sort(),
      });
      await putIntoPlace();
      expect(await check()).toMatchObject({ status: 0, faults: [] });
    },

    "kubeconfigs that other machines of the role have are missed": async () => {
      await type("worker-1", "sudo rm /var/lib/kubelet/kubeconfig /var/lib/kube-proxy/kubeconfig");
      expect((await check()).faults).toEqual([
        `worker-1:/home/ubuntu/${TUTORIAL_NAME}-worker-1.kubeconfig: is missing, there and where part 2 puts it (/var/lib/kubelet/kubeconfig); other machines have theirs: docs/part-2.md`,
        "worker-1:/home/ubuntu/kube-proxy.kubeconfig: is missing, there and where part 2 puts it (/var/lib/kube-proxy/kubeconfig); other machines have theirs: docs/part-2.md",
      ]);
      await copy();
      await putIntoPlace();
    },

    "nothing is said to replace an encryption config that has another key": async () => {
      const before = computed;
      computed = await reissue(json, computed, /encryption-key$/);
      rmSync(join(folder, "encryption-config.yaml"));
      writeCredentials();
      await copy();
      expect((await check()).faults.filter((fault) => fault.includes("encryption-config"))).toEqual([
        "master-0:/var/lib/kubernetes/encryption-config.yaml: is not the folder's: keep it, and see docs/certificates.md, Another key for secrets",
      ]);

      // As docs/certificates.md has it: both keys, onto the control plane.
      const [, onto, place] = shellBlocks("certificates.md", "Another key for secrets") as [string, string, string];
      const file = join(folder, "encryption-config.yaml");
      const entry = / {6}- name: .*\n {8}secret: .*\n/;
      const [old] = entry.exec(encryptionConfigOf(before)) as RegExpExecArray;
      writeFileSync(
        file,
        readFileSync(file, "utf8").replace(entry, (own) => `${old}${own}`),
      );
      await typeHere(`${COPY.slice(0, COPY.indexOf("for machine"))}${onto}`);
      await type(MASTER, place.replace(/sudo systemctl.*/, ""));
      expect((await check()).faults).toEqual([]);

      computed = before;
      rmSync(file);
      writeCredentials();
      await copy();
      await putIntoPlace();
    },

    "a kubeconfig that is empty, or not brought yet": async () => {
      await type(WORKER, "sudo truncate -s 0 /var/lib/kube-proxy/kubeconfig");
      expect((await check()).faults).toEqual([
        "worker-0:/var/lib/kube-proxy/kubeconfig: is empty",
        "worker-0:/var/lib/kube-proxy/kubeconfig: is not the folder's: bring that to the machine, or run `npm run credentials` anew (docs/part-2.md)",
      ]);
      await copy();
      await putIntoPlace();
    },

    "a folder that is older than the machines is told apart from machines that are older": async () => {
      const before = computed;
      computed = await reissue(json, computed, /^tls_locally_signed_cert\.service-account-/);
      writeCredentials();
      await copy();
      await putIntoPlace();
      computed = before;
      writeCredentials();
      expect((await check()).faults).toEqual([`master-0:/var/lib/kubernetes/service-account.pem: ${OTHER}`]);
      await copy();
      await putIntoPlace();
    },

    "the folder's own files must all belong to its owner": async () => {
      const file = join(folder, "ca-authority/admin.pem");
      chownSync(file, USERS.stranger, USERS.stranger);
      const { status, output } = await start(
        ["npm", "run", "--silent", "credentials", "--", "check", "--out", folder],
        {
          cwd: PROJECT,
        },
      ).ended;
      expect(status).toBe(1);
      expect(output).toMatch(
        new RegExp(
          `^ca-authority/admin\\.pem .* must belong to the folder's owner, user 0, got: ${USERS.stranger}$`,
          "m",
        ),
      );
      chownSync(file, 0, 0);
    },

    "where part 2 puts them, others may read no secret and change no certificate": async () => {
      await type(
        MASTER,
        "sudo chmod 640 /etc/etcd/master-kubernetes-key.pem; sudo chmod 664 /etc/etcd/ca.pem; sudo chown stranger /var/lib/kubernetes/kube-scheduler.kubeconfig",
      );
      expect((await check()).faults).toEqual([
        "master-0:/etc/etcd/ca.pem: must have mode 0644, got: 0664",
        "master-0:/etc/etcd/master-kubernetes-key.pem: must have mode 0600, got: 0640",
        "master-0:/var/lib/kubernetes/kube-scheduler.kubeconfig: must belong to ubuntu or root, got: stranger",
      ]);
      await type(MASTER, "sudo chmod 600 /etc/etcd/*.pem; sudo chown root /var/lib/kubernetes/*");
    },

    "a pair belongs together where it lies, and is held against the authority in use": async () => {
      await type(MASTER, "openssl genrsa 2048 2>/dev/null | sudo tee /etc/etcd/master-kubernetes-key.pem >/dev/null");
      await type(
        WORKER,
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout other.pem -out ca.pem 2>&1",
      );
      const { faults } = await check();
      expect(faults.filter((fault) => !fault.startsWith("worker-0:/home/ubuntu/ca.pem: "))).toEqual([
        `master-0:/etc/etcd/master-kubernetes-key.pem: ${OTHER}`,
        "master-0:/etc/etcd/master-kubernetes.pem: does not belong to ca-authority/master-kubernetes-key.pem",
      ]);
      expect(faults.length).toBeGreaterThan(2);
      await type(MASTER, "sudo cp /var/lib/kubernetes/master-kubernetes-key.pem /etc/etcd/");
      await type(WORKER, "rm ca.pem other.pem");
    },

    "what only root may read is said to be so where sudo asks": async () => {
      await type(MASTER, "sudo rm /etc/sudoers.d/90-cloud-init-users");
      const { status, faults } = await check();
      expect(status).toBe(1);
      expect(faults).toContain("master-0:/etc/etcd/master-kubernetes-key.pem: cannot be read as ubuntu, and sudo asks");
      expect(faults.filter((fault) => !fault.endsWith("cannot be read as ubuntu, and sudo asks"))).toEqual([]);
    },

    "a machine that is stopped is said to be, and lacks no name": async () => {
      const description = join(folder, "cluster.json");
      const text = readFileSync(description, "utf8");
      writeFileSync(description, text.replace(MACHINES["worker-1"]?.publicIp as string, ""));
      const { faults } = await check();
      expect(faults.filter((fault) => fault.startsWith("worker-1"))).toEqual([
        "worker-1: cannot be looked at: it has no public address, as a machine that is stopped",
      ]);
      writeFileSync(description, text);
    },

    "a machine that cannot be reached, and another under a known address": async () => {
      await hosts.get(WORKER)?.stop();
      const ofWorker = async () => (await check()).faults.filter((fault) => fault.startsWith(`${WORKER}:`)).at(-1);
      expect(await ofWorker()).toMatch(
        /^worker-0: cannot be looked at: 198\.51\.100\.20: ssh: connect to host .* Connection refused$/,
      );
      network.wipe(WORKER);
      await startHost(WORKER);
      expect(await ofWorker()).toBe(
        `worker-0: cannot be looked at: 198.51.100.20: Host key verification failed. (of a machine that was replaced: ssh-keygen -R 198.51.100.20 -f '${folder}/ssh/known_hosts')`,
      );
      const remove = ["ssh-keygen", "-R", "198.51.100.20", "-f", join(folder, "ssh/known_hosts")];
      expect((await start(remove).ended).status).toBe(0);
      deploy(WORKER);
      const faults = (await check()).faults.filter((fault) => fault.startsWith("worker"));
      expect(faults).toHaveLength(2);
      for (const fault of faults) expect(fault).toMatch(/\.kubeconfig: is missing, /);
    },
  });
});

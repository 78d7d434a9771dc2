import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { credentialFiles } from "../../credentials/files";
import { checkNodesOf, startHost, typeOn, writeIssuedFolder } from "../../testing/checks";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { shellBlocks } from "../../testing/documented";
import { issueDefaultCluster, MACHINES, reissue } from "../../testing/issued-cluster";
import { type SshHost, SshNetwork, USERS } from "../../testing/ssh-hosts";
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

/** The documented commands that copy files to the machines. They run in the credentials folder. */
const [COPY] = shellBlocks("part-2.md", "Copy kubeconfigs and the encryption config to the machines") as [string];

/** The documented commands that move files into their places. They run on the machines. */
const [ON_MASTER, ON_WORKER] = shellBlocks("part-2.md", "Move the files into their places") as [string, string];

const OUTDATED =
  "differs from the credentials folder; the right file is in /home/ubuntu: move it here and restart the programs that read it";
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
    // ssh would read the blank as a separator and replace %h.
    folder = join(scratch, "ours 100%h");
    await Promise.all(NAMES.map(begin));
  });

  afterAll(() => {
    network?.close();
    rmSync(scratch, { recursive: true });
  });

  async function begin(name: string): Promise<void> {
    hosts.set(name, await startHost({ network, computed }, name));
  }

  /** Writes the credentials folder from the outputs. */
  function writeCredentials(): void {
    writeIssuedFolder(folder, json, computed);
  }

  /** Copies the folder's files to a machine like a deploy. */
  function deploy(name: string): void {
    const { home } = hosts.get(name) as SshHost;
    for (const [file, mode] of Object.entries(tutorialFiles(name))) {
      const target = join(home, file);
      writeFileSync(target, readFileSync(join(folder, "ca-authority", file)));
      chmodSync(target, Number.parseInt(mode, 8));
      chownSync(target, USERS.ubuntu, USERS.ubuntu);
    }
  }

  /** Copies all files to the machines: like a deploy, and then with the documented commands. */
  async function copy(): Promise<void> {
    NAMES.forEach(deploy);
    await runHere(COPY);
  }

  /** Runs commands in the credentials folder. */
  async function runHere(commands: string): Promise<void> {
    const { status, output } = await start([...network.inside, "bash", "-ec", commands], { cwd: folder }).ended;
    expect({ status, output }).toEqual({ status: 0, output: "" });
  }

  const encryptionConfigOf = (having: Computed) =>
    credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, having)))["encryption-config.yaml"] as string;

  /** Runs commands on a machine. */
  async function type(name: string, commands: string): Promise<void> {
    const { status, output } = await typeOn({ network, computed, scratch }, name, commands);
    expect({ status, output }).toEqual({ status: 0, output });
  }

  /** Moves the copied files to part 2's places. */
  async function moveIntoPlaces(): Promise<void> {
    await type(MASTER, ON_MASTER);
    for (const name of WORKERS) await type(name, ON_WORKER.replace(WORKER, name));
  }

  /** Runs `npm run credentials -- check --nodes`, and returns its findings on the machines. */
  const check = (...options: string[]) => checkNodesOf(network, folder, ...options);

  story({
    "after a deploy, the check finds all files in the home folders, and each certificate's days": async () => {
      writeCredentials();
      await copy();
      const { status, found, problems } = await check();
      expect({ status, problems }).toEqual({ status: 0, problems: [] });
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

    "missing kubeconfigs and encryption configs are allowed, and other missing files are reported": async () => {
      await type(MASTER, "rm *.kubeconfig encryption-config.yaml service-account.pem");
      for (const name of WORKERS) await type(name, "rm *.kubeconfig");
      expect(await check()).toMatchObject({
        status: 1,
        problems: [
          "master-0:/home/ubuntu/service-account.pem: is missing here and where part 2 puts it (/var/lib/kubernetes/service-account.pem)",
        ].sort(),
      });
      await copy();
    },

    "wrong modes, owners, keys and names of files on machines are reported": async () => {
      await type(
        MASTER,
        `chmod 644 ca-key.pem; sudo chown stranger service-account.pem; sudo chown root admin.kubeconfig
         mv master-kubernetes.pem aside; cp ca.pem master-kubernetes.pem; rm kube-scheduler.kubeconfig`,
      );
      await type(WORKER, `openssl genrsa 2048 2>/dev/null > ${OWN}-key.pem; echo nothing > ca.pem`);
      expect(await check()).toMatchObject({
        status: 1,
        problems: [
          "master-0:/home/ubuntu/ca-key.pem: must have mode 0600, got: 0644",
          "master-0:/home/ubuntu/service-account.pem: must belong to ubuntu, got: stranger",
          "master-0:/home/ubuntu/master-kubernetes.pem: does not match ca-authority/master-kubernetes-key.pem",
          ...[
            "has no authority key identifier",
            "is a CA certificate (basic constraints)",
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
            "lacks the extended key usage serverAuth",
            "lacks the extended key usage clientAuth",
            DIFFERENT,
          ].map((problem) => `master-0:/home/ubuntu/master-kubernetes.pem: ${problem}`),
          "master-0:/home/ubuntu/admin.kubeconfig: must belong to ubuntu, got: root",
          "worker-0:/home/ubuntu/ca.pem: is not a PEM certificate",
          `worker-0:/home/ubuntu/ca.pem: ${DIFFERENT}`,
          `worker-0:/home/ubuntu/${OWN}.pem: does not match ca-authority/${OWN}-key.pem`,
          `worker-0:/home/ubuntu/${OWN}-key.pem: ${DIFFERENT}`,
        ].sort(),
      });
      await type(MASTER, "sudo rm aside admin.kubeconfig");
      await copy();
    },

    "after part 2, the check finds the files in their places, also those that root owns": async () => {
      await moveIntoPlaces();
      const { status, found, problems } = await check();
      expect({ status, problems }).toEqual({ status: 0, problems: [] });
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
      // `--days` counts for the machines too.
      const ending = await check("--days", "400");
      expect(ending.problems).toHaveLength(5);
      expect(ending.problems).toContainEqual(
        expect.stringMatching(/^master-0:\/var\/lib\/kubernetes\/service-account\.pem: expires in 364 days, on 20/),
      );
    },

    "after a renewal, the previous files in use are reported until the new ones are moved into place": async () => {
      computed = await reissue(json, computed, /^tls_locally_signed_cert\.(master-kubernetes|worker-0)-/);
      writeCredentials();
      await copy();
      expect(await check()).toMatchObject({
        status: 1,
        problems: [
          `master-0:/var/lib/kubernetes/master-kubernetes.pem: ${OUTDATED}`,
          `master-0:/etc/etcd/master-kubernetes.pem: ${OUTDATED}`,
          `worker-0:/var/lib/kubelet/${OWN}.pem: ${OUTDATED}`,
          "worker-0:/var/lib/kubelet/kubeconfig: client-certificate-data differs from the file in ca-authority",
          `worker-0:/var/lib/kubelet/kubeconfig: ${OUTDATED}`,
        ].sort(),
      });
      await moveIntoPlaces();
      expect(await check()).toMatchObject({ status: 0, problems: [] });
    },

    "a missing kubeconfig is reported if other machines of the role have theirs": async () => {
      await type("worker-1", "sudo rm /var/lib/kubelet/kubeconfig /var/lib/kube-proxy/kubeconfig");
      expect((await check()).problems).toEqual([
        `worker-1:/home/ubuntu/${TUTORIAL_NAME}-worker-1.kubeconfig: is missing here and where part 2 puts it (/var/lib/kubelet/kubeconfig); other machines have it: see docs/part-2.md`,
        "worker-1:/home/ubuntu/kube-proxy.kubeconfig: is missing here and where part 2 puts it (/var/lib/kube-proxy/kubeconfig); other machines have it: see docs/part-2.md",
      ]);
      await copy();
      await moveIntoPlaces();
    },

    "the check advises to keep an encryption config with another key": async () => {
      const before = computed;
      computed = await reissue(json, computed, /encryption-key$/);
      rmSync(join(folder, "encryption-config.yaml"));
      writeCredentials();
      await copy();
      expect((await check()).problems.filter((problem) => problem.includes("encryption-config"))).toEqual([
        "master-0:/var/lib/kubernetes/encryption-config.yaml: differs from the credentials folder: keep it, and see 'Another key for secrets' in docs/certificates.md",
      ]);

      // The steps of docs/certificates.md: copy both keys to the control plane.
      const [, onto, place] = shellBlocks("certificates.md", "Another key for secrets") as [string, string, string];
      const file = join(folder, "encryption-config.yaml");
      const entry = / {6}- name: .*\n {8}secret: .*\n/;
      const [entryBefore] = entry.exec(encryptionConfigOf(before)) as RegExpExecArray;
      writeFileSync(
        file,
        readFileSync(file, "utf8").replace(entry, (own) => `${entryBefore}${own}`),
      );
      await runHere(`${COPY.slice(0, COPY.indexOf("for machine"))}${onto}`);
      await type(MASTER, place.replace(/sudo systemctl.*/, ""));
      expect((await check()).problems).toEqual([]);

      computed = before;
      rmSync(file);
      writeCredentials();
      await copy();
      await moveIntoPlaces();
    },

    "an empty kubeconfig is reported": async () => {
      await type(WORKER, "sudo truncate -s 0 /var/lib/kube-proxy/kubeconfig");
      expect((await check()).problems).toEqual([
        "worker-0:/var/lib/kube-proxy/kubeconfig: differs from the credentials folder: copy the folder's file to the machine, or run `npm run credentials` again (docs/part-2.md)",
        "worker-0:/var/lib/kube-proxy/kubeconfig: is empty",
      ]);
      await copy();
      await moveIntoPlaces();
    },

    "a folder older than the machines gets another message than machines older than the folder": async () => {
      const before = computed;
      computed = await reissue(json, computed, /^tls_locally_signed_cert\.service-account-/);
      writeCredentials();
      await copy();
      await moveIntoPlaces();
      computed = before;
      writeCredentials();
      expect((await check()).problems).toEqual([`master-0:/var/lib/kubernetes/service-account.pem: ${DIFFERENT}`]);
      await copy();
      await moveIntoPlaces();
    },

    "a file in the folder that does not belong to the folder's owner is reported": async () => {
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

    "in part 2's places, secrets that others can read and certificates that others can change are reported":
      async () => {
        await type(
          MASTER,
          "sudo chmod 640 /etc/etcd/master-kubernetes-key.pem; sudo chmod 664 /etc/etcd/ca.pem; sudo chown stranger /var/lib/kubernetes/kube-scheduler.kubeconfig",
        );
        expect((await check()).problems).toEqual([
          "master-0:/etc/etcd/ca.pem: must have mode 0644, got: 0664",
          "master-0:/etc/etcd/master-kubernetes-key.pem: must have mode 0600, got: 0640",
          "master-0:/var/lib/kubernetes/kube-scheduler.kubeconfig: must belong to ubuntu or root, got: stranger",
        ]);
        await type(MASTER, "sudo chmod 600 /etc/etcd/*.pem; sudo chown root /var/lib/kubernetes/*");
      },

    "a certificate is checked against the key in the same folder and against the CA in use": async () => {
      await type(MASTER, "openssl genrsa 2048 2>/dev/null | sudo tee /etc/etcd/master-kubernetes-key.pem >/dev/null");
      await type(
        WORKER,
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=other -keyout other.pem -out ca.pem 2>&1",
      );
      const { problems } = await check();
      expect(problems.filter((problem) => !problem.startsWith("worker-0:/home/ubuntu/ca.pem: "))).toEqual([
        `master-0:/etc/etcd/master-kubernetes-key.pem: ${DIFFERENT}`,
        "master-0:/etc/etcd/master-kubernetes.pem: does not match ca-authority/master-kubernetes-key.pem",
      ]);
      expect(problems.length).toBeGreaterThan(2);
      await type(MASTER, "sudo cp /var/lib/kubernetes/master-kubernetes-key.pem /etc/etcd/");
      await type(WORKER, "rm ca.pem other.pem");
    },

    "files that only root can read are reported if sudo needs a password": async () => {
      await type(MASTER, "sudo rm /etc/sudoers.d/90-cloud-init-users");
      const { status, problems } = await check();
      expect(status).toBe(1);
      expect(problems).toContain(
        "master-0:/etc/etcd/master-kubernetes-key.pem: cannot be read by ubuntu, and sudo needs a password",
      );
      expect(
        problems.filter((problem) => !problem.endsWith("cannot be read by ubuntu, and sudo needs a password")),
      ).toEqual([]);
    },

    "a stopped machine is reported, and the missing public address is not reported as a problem of its certificate":
      async () => {
        const description = join(folder, "cluster.json");
        const text = readFileSync(description, "utf8");
        writeFileSync(description, text.replace(MACHINES["worker-1"]?.publicIp as string, ""));
        const { problems } = await check();
        expect(problems.filter((problem) => problem.startsWith("worker-1"))).toEqual([
          "worker-1: cannot be checked: it has no public address; it may be stopped",
        ]);
        writeFileSync(description, text);
      },

    "a machine whose shell hangs and one that prints without end are reported, and the others' results are printed before":
      async () => {
        const commands = { [WORKER]: "sleep 1000", "worker-1": "yes" };
        const keys = Object.keys(commands).map((name) => join((hosts.get(name) as SshHost).home, "../authorized_keys"));
        const texts = keys.map((path) => readFileSync(path, "utf8"));
        Object.values(commands).forEach((command, index) => {
          writeFileSync(keys[index] as string, `command="${command}" ${texts[index]}`);
        });
        const printed: { readonly text: string; readonly time: number }[] = [];
        const command = ["npm", "run", "--silent", "credentials", "--", "check", "--nodes", "--out", folder];
        const { status, output } = await start([...network.inside, ...command], {
          cwd: PROJECT,
          onOutput: (text) => printed.push({ text, time: Date.now() }),
        }).ended;
        const end = Date.now();

        expect(status).toBe(1);
        expect(output).toMatch(
          /-worker-0 .* cannot be checked: 198\.51\.100\.20: it did not answer within 30 seconds$/m,
        );
        expect(output).toMatch(/-worker-1 .* cannot be checked: 198\.51\.100\.21: it printed more than 4 MiB$/m);
        for (const early of ["-master-0:/etc/etcd/ca.pem ", "-worker-1 "]) {
          const piece = printed.find(({ text }) => text.includes(early));
          expect(end - (piece?.time ?? end)).toBeGreaterThan(10_000);
        }
        keys.forEach((path, index) => {
          writeFileSync(path, texts[index] as string);
        });
      },

    "an unreachable machine, and another machine at a known address, are reported": async () => {
      await hosts.get(WORKER)?.stop();
      const ofWorker = async () =>
        (await check()).problems.filter((problem) => problem.startsWith(`${WORKER}:`)).at(-1);
      expect(await ofWorker()).toMatch(
        /^worker-0: cannot be checked: 198\.51\.100\.20: ssh: connect to host .* Connection refused$/,
      );
      network.wipe(WORKER);
      await begin(WORKER);
      expect(await ofWorker()).toBe(
        `worker-0: cannot be checked: 198.51.100.20: Host key verification failed. (if the machine was replaced, run: ssh-keygen -R 198.51.100.20 -f '${folder}/ssh/known_hosts')`,
      );
      const remove = ["ssh-keygen", "-R", "198.51.100.20", "-f", join(folder, "ssh/known_hosts")];
      expect((await start(remove).ended).status).toBe(0);
      deploy(WORKER);
      const problems = (await check()).problems.filter((problem) => problem.startsWith("worker"));
      expect(problems).toHaveLength(2);
      for (const problem of problems) expect(problem).toMatch(/\.kubeconfig: is missing here and /);
    },
  });
});

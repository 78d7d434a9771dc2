import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Running, signalInside, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { credentialFiles } from "../../credentials/files";
import { deployedCluster, outputsOf } from "../../testing/deployed-cluster";
import { issueDefaultCluster, MACHINES, reissue } from "../../testing/issued-cluster";
import { type SshHost, SshNetwork, USERS } from "../../testing/ssh-hosts";
import { synthesizeCluster } from "../../testing/synthesize";
import { TerraformFolder } from "../../testing/terraform";
import { originalAddress, toTerraformData } from "../../testing/terraform-data";
import type { Computed } from "../../testing/tls-resources";
import { expectTutorialFiles, TUTORIAL_NAME, tutorialFiles } from "../../testing/tutorial";

const APPLY = ["apply", "-auto-approve", "-no-color"];
const STAGING = ".distribution";
/** Every path that may contain a secret at any moment: keys in the home folder, and the files in the staging folder. */
function secretPaths(id: string): string[] {
  const names = Object.keys(tutorialFiles(id));
  const keys = names.filter((name) => name.endsWith("-key.pem"));
  const beside = keys.flatMap((name) => [`${name}.distribution-new`, `${name}.distribution-old`]);
  return [...keys, ...beside, `${STAGING}/bundle`, `${STAGING}/line`];
}

/** A function that does its work at the first call. Later calls return the first call's result. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}

describeSuite("real ssh", () => {
  let json = synthesizeCluster();
  const hosts = new Map<string, SshHost>();
  let network: SshNetwork;
  let terraform: TerraformFolder;
  let computed: Computed;

  jest.setTimeout(120_000);

  beforeAll(async () => {
    [network, computed] = await Promise.all([SshNetwork.open(), issueDefaultCluster(json)]);
    terraform = new TerraformFolder(network.inside);
    await Promise.all(Object.keys(MACHINES).map(startHost));
    configure();
    await terraform.run("init", "-no-color");
  });

  afterAll(async () => {
    await Promise.all([...hosts.values()].map((host) => host.stop()));
    network?.close();
    terraform?.remove();
  });

  async function startHost(id: string): Promise<void> {
    const addresses = [publicIp(id), MACHINES[id]?.privateIp as string];
    const authorizedKey = computed["tls_private_key.ssh-key"]?.public_key_openssh as string;
    hosts.set(id, await network.start({ name: id, addresses, authorizedKey }));
  }

  const host = (id: string) => hosts.get(id) as SshHost;
  const publicIp = (id: string) => computed[`aws_instance.${id}`]?.public_ip as string;

  /** Writes the cluster's configuration, with replacements in its text. */
  function configure(...changes: readonly (readonly [from: string, to: string])[]): void {
    const text = changes.reduce(
      (changed, [from, to]) => changed.replaceAll(from, to),
      JSON.stringify(toTerraformData(json, computed)),
    );
    terraform.configure(JSON.parse(text));
  }

  /** Issues tls resources again and sets other attributes, as after an expiry or after the replacement of a machine. */
  async function renew(addresses: readonly string[], attributes: Computed = {}): Promise<void> {
    computed = await reissue(json, { ...computed, ...attributes }, new RegExp(`^(${addresses.join("|")})$`));
  }

  /** Replaces a machine: the new one has another id, another public address and an empty disk. */
  async function replaceMachine(id: string, address: string): Promise<void> {
    await host(id).stop();
    network.wipe(id);
    await renew([`tls_cert_request.${id}-request`, `tls_locally_signed_cert.${id}-certificate`], {
      [`aws_instance.${id}`]: { id: `i-another-${id}`, public_ip: address },
    });
  }

  const sessions = () => Object.fromEntries([...hosts].map(([id, { sessions }]) => [id, sessions]));

  /** The machines with logins after the given counts of sessions. */
  const visitedSince = (before: Record<string, number>) =>
    [...hosts.keys()].filter((id) => host(id).sessions !== before[id]).sort();

  const expectComplete = (id: string) => expectTutorialFiles(host(id), id);

  /** Waits until the first byte of a worker's key is on its machine. */
  function firstKeyByte(id: string): Promise<void> {
    const path = join(host(id).home, STAGING, "bundle");
    return until(() => existsSync(path) && statSync(path).size > 0, { what: () => path });
  }

  /** The address in the error of an apply. */
  async function failedAt(apply: Running): Promise<string> {
    const { status, output } = await apply.ended;
    expect(status).toBe(1);
    expect(output).toMatch(/with terraform_data\.\S+,/);
    return originalAddress((/with (terraform_data\.\S+),/.exec(output) as RegExpExecArray)[1] as string);
  }

  /** The first copy to all machines, done once. Each test builds on it, and no test builds on another. */
  const firstCopy = once(async () => {
    configure();
    const stopWatching = [...hosts.keys()].map((id) => host(id).watch(secretPaths(id)));
    await terraform.run(...APPLY);
    return { opened: (await Promise.all(stopWatching.map((stop) => stop()))).flat(), sessions: sessions() };
  });

  beforeEach(async () => {
    await firstCopy();
  });

  test("every machine gets exactly its files, and no other user can read a key or write a script at any moment", async () => {
    expect((await firstCopy()).opened).toEqual([]);
    for (const id of hosts.keys()) expectComplete(id);
  });

  test("a copy makes three ssh connections to its machine", async () => {
    expect(Object.values((await firstCopy()).sessions)).toEqual(Object.keys(MACHINES).map(() => 3));
  });

  test("a second apply changes nothing", async () => {
    configure();
    const filesBefore = [...hosts.values()].map((each) => each.files());
    const before = sessions();

    const output = await terraform.run(...APPLY);

    expect(output).toContain("No changes.");
    expect([...hosts.values()].map((each) => each.files())).toEqual(filesBefore);
    expect(visitedSince(before)).toEqual([]);
  });

  test("a renewed certificate is copied only to the machines that have it", async () => {
    await renew(["tls_locally_signed_cert.worker-1-certificate"]);
    configure();
    const before = sessions();

    await terraform.run(...APPLY);

    expect(visitedSince(before)).toEqual(["worker-1"]);
    expectComplete("worker-1");
    expect(host("worker-1").read("k8s-cluster-from-ground-up-worker-1.pem")).toBe(
      computed["tls_locally_signed_cert.worker-1-certificate"]?.cert_pem,
    );
  });

  test("a renewed service account pair is copied to every control plane machine", async () => {
    await renew(
      ["private-key", "request", "certificate"].map(
        (part, index) =>
          `${["tls_private_key", "tls_cert_request", "tls_locally_signed_cert"][index]}.service-account-${part}`,
      ),
    );
    configure();
    const before = sessions();

    await terraform.run(...APPLY);

    expect(visitedSince(before)).toEqual(["master-0", "master-1", "master-2"]);
    for (const id of ["master-0", "master-1", "master-2"]) expectComplete(id);
  });

  test("a replaced machine gets its files, and no other machine is changed", async () => {
    await replaceMachine("worker-2", "198.51.100.32");
    await startHost("worker-2");
    configure();
    const before = sessions();

    await terraform.run(...APPLY);

    expect(visitedSince(before)).toEqual(["worker-2"]);
    expectComplete("worker-2");
  });

  test("a copy waits for a machine that starts late", async () => {
    await replaceMachine("worker-0", "198.51.100.30");
    configure();

    const apply = terraform.run(...APPLY);
    await sleep(3_000);
    await startHost("worker-0");
    await apply;

    expectComplete("worker-0");
  });

  test("an apply names the copy whose machine stopped, and the next apply completes the copy", async () => {
    await replaceMachine("worker-1", "198.51.100.31");
    await startHost("worker-1");
    configure(['"5m"', '"3s"']);
    const apply = terraform.start(...APPLY);
    await firstKeyByte("worker-1");
    await host("worker-1").stop();

    expect(await failedAt(apply)).toBe("null_resource.pems-worker-1");
    await startHost("worker-1");
    expect(Object.keys(host("worker-1").files())).toContain(STAGING);

    configure();
    await terraform.run(...APPLY);
    expectComplete("worker-1");
  });

  test("an apply names the copy that SIGINT interrupted, and the next apply completes the copy", async () => {
    await replaceMachine("worker-1", "198.51.100.41");
    await startHost("worker-1");
    configure();
    const apply = terraform.start(...APPLY);
    await firstKeyByte("worker-1");
    // The host is frozen, so that the copy cannot end before the signal arrives.
    host("worker-1").freeze();
    signalInside(apply.process, "SIGINT");

    expect(await failedAt(apply)).toBe("null_resource.pems-worker-1");
    await host("worker-1").stop();
    await startHost("worker-1");
    expect(Object.keys(host("worker-1").files())).toContain(STAGING);

    await terraform.run(...APPLY);
    expectComplete("worker-1");
  });

  test("a copy to a full disk keeps all current files, and the next apply completes the copy", async () => {
    const before = host("master-2").files();
    await renew(["tls_locally_signed_cert.master-kubernetes-certificate"]);
    configure();
    host("master-2").fillDisk();
    expect((await terraform.start(...APPLY).ended).status).toBe(1);
    host("master-2").clearDisk();

    const after = host("master-2").files();
    for (const name of Object.keys(tutorialFiles("master-2"))) expect(after[name]).toEqual(before[name]);
    await terraform.run(...APPLY);
    expectComplete("master-2");
  });

  test("the watcher finds keys if the staging folder is open to other users", async () => {
    await replaceMachine("worker-1", "198.51.100.51");
    await startHost("worker-1");
    configure(["-m 0700", "-m 0755"]);
    const stopWatching = host("worker-1").watch(secretPaths("worker-1"));

    await terraform.run(...APPLY);

    expect(await stopWatching()).toContain(`${STAGING}/bundle`);
  });

  test("the stranger can write to a script in /tmp", async () => {
    await replaceMachine("worker-1", "198.51.100.61");
    await startHost("worker-1");
    configure(["/home/ubuntu/.distribution/run/script.sh", "/tmp/script.sh"]);
    const stopWatching = host("worker-1").watch([]);

    // The script cannot start while the stranger has it open.
    await terraform.run(...APPLY).catch((error) => expect(String(error)).toContain("/tmp/script.sh: Text file busy"));

    expect(await stopWatching()).toContain("write /tmp/script.sh");
    // Another start empties /tmp.
    await host("worker-1").stop();
    await startHost("worker-1");
  });

  test("kubeconfigs and encryption config are copied if their settings are on, with the content that npm run credentials writes", async () => {
    json = synthesizeCluster({ copies: { kubeconfigs: true, encryptionConfig: true } });
    const files = () => credentialFiles(deployedCluster(TUTORIAL_NAME, outputsOf(json, computed)));
    const expectCopied = () => {
      const users = { master: ["admin", "kube-controller-manager", "kube-scheduler"], worker: ["kube-proxy"] };
      for (const id of hosts.keys()) {
        const [role] = id.split("-") as ["master" | "worker"];
        const own = role === "worker" ? [`${TUTORIAL_NAME}-${id}`] : [];
        const expected = {
          ...Object.fromEntries(
            [...users[role], ...own].map((user) => [`${user}.kubeconfig`, `kubeconfigs/${user}.kubeconfig`]),
          ),
          ...(role === "master" && { "encryption-config.yaml": "encryption-config.yaml" }),
        };
        const copied = Object.entries(host(id).files()).filter(([name]) => !name.endsWith(".pem"));
        expect(Object.fromEntries(copied.map(([name, { mode, owner }]) => [name, `${mode} ${owner}`]))).toEqual(
          Object.fromEntries(Object.keys(expected).map((name) => [name, `0600 ${USERS.ubuntu}`])),
        );
        for (const [name, path] of Object.entries(expected)) expect(host(id).read(name)).toBe(files()[path]);
      }
    };
    configure();
    const stopWatching = [...hosts.keys()].map((id) =>
      host(id).watch([
        "admin.kubeconfig",
        "encryption-config.yaml",
        "admin.kubeconfig.distribution-new",
        "kube-proxy.kubeconfig.distribution-new",
        `${STAGING}/bundle`,
      ]),
    );
    await terraform.run(...APPLY);
    expectCopied();
    expect((await Promise.all(stopWatching.map((stop) => stop()))).flat()).toEqual([]);
    expect(await terraform.run(...APPLY)).toContain("No changes.");

    await renew(["tls_locally_signed_cert.kube-proxy-certificate"]);
    configure();
    const before = sessions();
    await terraform.run(...APPLY);
    expect(visitedSince(before)).toEqual(["worker-0", "worker-1", "worker-2"]);
    expectCopied();

    await renew(["tls_private_key.encryption-key"]);
    configure();
    const beforeKey = sessions();
    await terraform.run(...APPLY);
    expect(visitedSince(beforeKey)).toEqual(["master-0", "master-1", "master-2"]);
    expectCopied();

    await renew([], { "aws_lb.load-balancer": { dns_name: "another.elb.eu-central-1.amazonaws.com" } });
    configure();
    const beforeName = sessions();
    await terraform.run(...APPLY);
    expect(visitedSince(beforeName)).toEqual(Object.keys(MACHINES).sort());
    expectCopied();
  });
});

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { changeInstance, type InstanceChange } from "../../cloud/inventory";
import { type Ended, until } from "../../cloud/program";
import { REGION, Rehearsal } from "../../testing/rehearsal";
import { story } from "../../testing/story";
import { TUTORIAL_NAME } from "../../testing/tutorial";

/** Two masters, to leave one of them; and two workers, with a pod network each. */
const SETTINGS = { controlPlane: { count: 2 }, workers: { count: 2 } };

const MACHINES = ["master-0", "master-1", "worker-0", "worker-1"];

const API_SERVER_PORT = 6443;

let rehearsal: Rehearsal;

beforeAll(async () => {
  rehearsal = await Rehearsal.begin(SETTINGS);
});

afterAll(() => rehearsal?.end());

/** Runs a command on a machine over ssh, as a person does. */
async function ssh(id: string, command: string): Promise<Ended> {
  const key = join(rehearsal.folder.path, "id_rsa");
  writeFileSync(key, rehearsal.folder.output("ssh_private_key"), { mode: 0o600 });
  const options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"];
  const login = ["-i", key, ...options.flatMap((option) => ["-o", option]), "-o", "ConnectTimeout=3"];
  return rehearsal.start(["ssh", ...login, `ubuntu@${rehearsal.machine(id).publicIp}`, command], "/").ended;
}

/** The output of a command that succeeds on a machine. */
async function onMachine(id: string, command: string): Promise<string> {
  const { status, output } = await ssh(id, command);
  if (status !== 0) throw new Error(`${id}: ${command}: status ${status}\n${output}`);
  return output.trim();
}

/** Waits until a machine lets a person log in. */
async function loggedIn(id: string): Promise<void> {
  for (const end = Date.now() + 180_000; (await ssh(id, "true")).status !== 0; await sleep(200)) {
    if (Date.now() > end) throw new Error(`${id} does not answer`);
  }
}

/** Whether a unit of a machine runs, as far as is known: a machine that does not answer may run it. */
async function isActive(id: string, unit: string): Promise<boolean> {
  const { output } = await ssh(id, `systemctl is-active ${unit}`);
  return output.trim() !== "inactive";
}

/** Changes a machine as a person does in AWS's console. */
async function inConsole(change: InstanceChange["change"], id: string): Promise<void> {
  await changeInstance(rehearsal.cloud.socket, { id: rehearsal.machine(id).id, region: REGION, change });
}

/** Runs the AWS CLI. */
const aws = (...args: string[]) => rehearsal.here("aws", "--output", "text", ...args);

/** Whether the internet can connect to a port of an address. */
async function connects(address: string, port: number): Promise<boolean> {
  const connect = ["timeout", "2", "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`];
  return (await rehearsal.start(connect, "/").ended).status === 0;
}

/** The health of the load balancer's targets, as the API reports it. */
const health = async () => {
  const { targetGroups } = await rehearsal.inventory();
  return targetGroups[0]?.health;
};

/** Waits until the load balancer's targets have the given health. */
async function healthBecomes(wanted: Record<string, string>): Promise<void> {
  for (const end = Date.now() + 180_000; JSON.stringify(await health()) !== JSON.stringify(wanted); await sleep(500)) {
    if (Date.now() > end) throw new Error(`health: ${JSON.stringify(await health())}`);
  }
}

/** A program on a machine that answers each connection to a port with the machine's name. */
const answers = (port: number) =>
  `sudo systemd-run --unit=answer-${port} socat TCP-LISTEN:${port},fork,reuseaddr SYSTEM:hostname`;

/** The answer of a program behind an address; empty without an answer. */
async function answerOf(address: string, port: number): Promise<string> {
  const ask = ["timeout", "3", "bash", "-c", `cat < /dev/tcp/${address}/${port}`];
  return (await rehearsal.start(ask, "/").ended).output.trim();
}

story({
  "the machines of a deploy answer ssh soon after the API says that they run": async () => {
    const apply = rehearsal.startTerraform("apply", "-auto-approve", "-no-color");
    await until(() => /aws_instance\.\S+: Creating/.test(apply.output()), {
      what: apply.output,
      process: apply.process,
      seconds: 300,
    });
    await until(() => rehearsal.cloud.machines.running.length > 0, { what: () => "a machine runs", seconds: 300 });
    const running = Date.now();
    await until(() => rehearsal.cloud.machines.running.length === MACHINES.length, {
      what: () => "all machines run",
      seconds: 300,
    });
    await Promise.all(rehearsal.cloud.machines.running.map(({ machine }) => machine.listens()));
    const seconds = (Date.now() - running) / 1000;
    process.stderr.write(`${MACHINES.length} machines answer ssh ${seconds.toFixed(1)} s after the first runs\n`);
    expect((await apply.ended).status).toBe(0);
  },

  "a machine has its name, its user data and root's rights, as part 2 of the tutorial uses them": async () => {
    for (const [index, id] of ["worker-0", "worker-1"].entries()) {
      const userData = (name: string) =>
        `curl -s http://169.254.169.254/latest/user-data/ | tr "|" "\\n" | grep "^${name}" | cut -d"=" -f2`;
      expect(await onMachine(id, userData("name"))).toBe(id);
      expect(await onMachine(id, userData("pod-cidr"))).toBe(`172.20.${index}.0/24`);
      expect(await onMachine(id, "hostname && hostname -f")).toBe(
        `ip-172-31-0-2${index}\nip-172-31-0-2${index}.eu-central-1.compute.internal`,
      );
      expect(await onMachine(id, "sudo mkdir -p /etc/etcd /var/lib/etcd && sudo id -un")).toBe("root");
    }
    const memory = await onMachine("worker-0", "awk '/^MemTotal/ {print $2}' /proc/meminfo");
    expect(Number(memory)).toBe(1024 * 1024);
  },

  "names of machines and of the load balancer resolve; other names fail at once": async () => {
    const name = rehearsal.folder.output("kubernetes_public_address");
    const address = (await onMachine("worker-0", `getent hosts ${name}`)).split(/\s/)[0];
    expect(address).toMatch(/^(203\.0\.113|198\.51\.100|192\.0\.2)\.\d+$/);
    expect((await rehearsal.here("getent", "hosts", name)).split(/\s/)[0]).toBe(address);
    expect(await onMachine("worker-0", "getent hosts ip-172-31-0-10")).toMatch(/^172\.31\.0\.10 /);
    // The resolver waits 5 s for a server that does not answer.
    expect((await ssh("worker-0", "timeout 4 getent hosts dl.k8s.io")).status).toBe(2);
  },

  "a unit that is enabled runs again after a reboot, with the same addresses": async () => {
    const unit = "[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n";
    await onMachine("worker-0", `printf '${unit}' | sudo tee /etc/systemd/system/waits.service`);
    await onMachine("worker-0", "sudo systemctl enable --now waits");
    // A unit that only runs until the next boot.
    await onMachine("worker-0", "sudo systemd-run --unit=not-enabled sleep infinity");
    const { publicIp } = rehearsal.machine("worker-0");
    await ssh("worker-0", "sudo reboot");
    for (const end = Date.now() + 180_000; await isActive("worker-0", "not-enabled"); await sleep(200)) {
      expect(Date.now()).toBeLessThan(end);
    }
    await loggedIn("worker-0");
    expect(await onMachine("worker-0", "systemctl is-active waits")).toBe("active");
    expect(rehearsal.machine("worker-0").publicIp).toBe(publicIp);
  },

  "a stopped and started machine has its disk and another public address": async () => {
    const before = rehearsal.machine("worker-1");
    await onMachine("worker-1", "echo kept > kept");
    await inConsole("stop", "worker-1");
    await rehearsal.cloud.machines.settled();
    expect(await connects(before.publicIp, 22)).toBe(false);
    await changeInstance(rehearsal.cloud.socket, { id: before.id, region: REGION, change: "start" });
    await rehearsal.cloud.machines.settled();
    await loggedIn("worker-1");
    expect(rehearsal.machine("worker-1").publicIp).not.toBe(before.publicIp);
    expect(await onMachine("worker-1", "cat kept && rm kept")).toBe("kept");
    await rehearsal.apply();
  },

  "a port that the settings close is closed, and open again when they open it": async () => {
    const { publicIp } = rehearsal.machine("master-0");
    expect(await connects(publicIp, 22)).toBe(true);
    await rehearsal.configure({ ...SETTINGS, access: { ssh: ["192.0.2.77/32"] } });
    await rehearsal.apply();
    expect(await connects(publicIp, 22)).toBe(false);
    await rehearsal.configure({ ...SETTINGS, access: { ssh: ["198.51.100.1/32"] } });
    await rehearsal.apply();
    expect(await connects(publicIp, 22)).toBe(true);
    await rehearsal.configure(SETTINGS);
    await rehearsal.apply();
  },

  "node ports are open within the subnet and closed to the internet": async () => {
    await onMachine("worker-0", answers(30080));
    expect(await onMachine("worker-1", "timeout 3 bash -c 'cat < /dev/tcp/172.31.0.20/30080'")).toBe("ip-172-31-0-20");
    expect(await connects(rehearsal.machine("worker-0").publicIp, 30080)).toBe(false);
  },

  "the route to a worker's pods is the route table's": async () => {
    // A pod's address on the worker, without Kubernetes.
    await onMachine("worker-1", "sudo ip address add 172.20.1.5/32 dev lo");
    const asks = () => ssh("worker-0", "timeout 3 bash -c 'exec 3<>/dev/tcp/172.20.1.5/22'");
    expect((await asks()).status).toBe(0);
    const table = (
      await aws(
        "ec2",
        "describe-route-tables",
        "--filters",
        `Name=tag:Name,Values=${TUTORIAL_NAME}`,
        "--query",
        "RouteTables[0].RouteTableId",
      )
    ).trim();
    await aws("ec2", "delete-route", "--route-table-id", table, "--destination-cidr-block", "172.20.1.0/24");
    await rehearsal.cloud.machines.settled();
    expect((await asks()).status).not.toBe(0);
    await rehearsal.apply();
    expect((await asks()).status).toBe(0);
  },

  "a machine with the source/dest check gets no packet for a pod": async () => {
    const { id } = rehearsal.machine("worker-1");
    const asks = () => ssh("worker-0", "timeout 3 bash -c 'exec 3<>/dev/tcp/172.20.1.5/22'");
    await aws("ec2", "modify-instance-attribute", "--instance-id", id, "--source-dest-check", "Value=true");
    await rehearsal.cloud.machines.settled();
    expect((await asks()).status).not.toBe(0);
    await aws("ec2", "modify-instance-attribute", "--instance-id", id, "--source-dest-check", "Value=false");
    await rehearsal.cloud.machines.settled();
    expect((await asks()).status).toBe(0);
  },

  "the load balancer uses the healthy target only, and all targets when none is healthy": async () => {
    const name = rehearsal.folder.output("kubernetes_public_address");
    const group = (await aws("elbv2", "describe-target-groups", "--query", "TargetGroups[0].TargetGroupArn")).trim();
    await aws(
      "elbv2",
      "modify-target-group",
      "--target-group-arn",
      group,
      "--health-check-interval-seconds",
      "5",
      "--healthy-threshold-count",
      "2",
      "--unhealthy-threshold-count",
      "2",
    );
    const targets = (...states: [string, string]) => ({ "172.31.0.10:6443": states[0], "172.31.0.11:6443": states[1] });
    await onMachine("master-1", answers(API_SERVER_PORT));
    await healthBecomes(targets("unhealthy", "healthy"));
    for (let time = 0; time < 5; time++) expect(await answerOf(name, API_SERVER_PORT)).toBe("ip-172-31-0-11");
    // Also from inside, over the load balancer's public address.
    expect(await onMachine("worker-0", `timeout 3 bash -c 'cat < /dev/tcp/${name}/${API_SERVER_PORT}'`)).toBe(
      "ip-172-31-0-11",
    );

    await onMachine("master-1", `sudo systemctl stop answer-${API_SERVER_PORT}`);
    await healthBecomes(targets("unhealthy", "unhealthy"));
    expect(await answerOf(name, API_SERVER_PORT)).toContain("Connection reset by peer");
  },

  "the metadata service obeys metadata_options": async () => {
    const { id } = rehearsal.machine("worker-0");
    const token = `curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" http://169.254.169.254/latest/api/token`;
    const read = (options: string) =>
      onMachine(
        "worker-0",
        `curl -s -o /dev/null -w '%{http_code}' ${options} http://169.254.169.254/latest/meta-data/instance-id`,
      );
    expect(await read("")).toBe("200");
    await aws("ec2", "modify-instance-metadata-options", "--instance-id", id, "--http-tokens", "required");
    await rehearsal.cloud.machines.settled();
    expect(await read("")).toBe("401");
    expect(await read(`-H "X-aws-ec2-metadata-token: $(${token})"`)).toBe("200");
    await aws("ec2", "modify-instance-metadata-options", "--instance-id", id, "--http-tokens", "optional");
    await rehearsal.cloud.machines.settled();
  },

  "after a power failure during a copy, the apply names the machine, and the next one completes it": async () => {
    const id = "worker-1";
    const apply = rehearsal.startTerraform("apply", "-auto-approve", "-no-color", `-replace=null_resource.pems-${id}`);
    await until(() => apply.output().includes(`null_resource.pems-${id}: Provisioning with 'file'`), {
      what: apply.output,
      process: apply.process,
      seconds: 300,
    });
    await rehearsal.cloud.machines.restart(rehearsal.machine(id));
    const { status, output } = await apply.ended;
    if (status !== 0) {
      expect(output).toContain(`with null_resource.pems-${id},`);
      await loggedIn(id);
      await rehearsal.apply();
    }
    expect(await rehearsal.terraform("plan", "-detailed-exitcode", "-no-color")).toContain("No changes.");
    expect(Object.keys(rehearsal.machine(id).host.files()).sort()).toEqual(
      ["ca.pem", `${TUTORIAL_NAME}-${id}-key.pem`, `${TUTORIAL_NAME}-${id}.pem`].sort(),
    );
  },

  "a terminated machine is made again by one deploy": async () => {
    const before = rehearsal.machine("worker-0").id;
    await inConsole("terminate", "worker-0");
    await rehearsal.apply();
    expect(rehearsal.machine("worker-0").id).not.toBe(before);
    expect((await ssh("worker-0", "systemctl is-active waits")).output.trim()).toBe("inactive");
  },

  "destroy leaves no machine": async () => {
    await rehearsal.terraform("destroy", "-auto-approve", "-no-color");
    await rehearsal.cloud.machines.settled();
    expect(rehearsal.cloud.machines.running).toEqual([]);
  },
});

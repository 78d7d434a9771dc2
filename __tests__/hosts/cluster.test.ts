import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";
import { TESTED } from "../../model/versions";
import { startHost, typeOn, writeIssuedFolder } from "../../testing/checks";
import { issueDefaultCluster } from "../../testing/issued-cluster";
import { type SshHost, SshNetwork } from "../../testing/ssh-hosts";
import { story } from "../../testing/story";
import { synthesizeCluster } from "../../testing/synthesize";
import type { Computed } from "../../testing/tls-resources";

/** `npm run cluster` on machines that cannot do what it asks. __tests__/cluster has those that can. */

const PROJECT = join(__dirname, "../..");
const MASTER = "master-0";
const WORKER = "worker-0";
const json = synthesizeCluster({
  controlPlane: { count: 2 },
  workers: { count: 1 },
  kubernetes: { version: TESTED.kubernetes },
});

const NO_SCRIPT = "master-0: sudo: /usr/local/lib/kubernetes/control-plane.sh: command not found";
const NO_HOST = "master-1: ssh: connect to host 198.51.100.11 port 22: Network is unreachable";

describeSuite("files on machines", () => {
  const hosts = new Map<string, SshHost>();
  let network: SshNetwork;
  let computed: Computed;
  let scratch: string;
  let folder: string;

  beforeAll(async () => {
    [network, computed] = await Promise.all([SshNetwork.open(), issueDefaultCluster(json)]);
    scratch = mkdtempSync(join(tmpdir(), "cluster-"));
    // ssh would read the blank as a separator and replace %h.
    folder = join(scratch, "ours 100%h");
    writeIssuedFolder(folder, json, computed);
    await Promise.all([MASTER, WORKER].map(begin));
  });

  afterAll(() => {
    network?.close();
    rmSync(scratch, { recursive: true });
  });

  async function begin(name: string): Promise<void> {
    hosts.set(name, await startHost({ network, computed }, name));
  }

  /** Runs `npm run cluster`. */
  async function cluster(...args: readonly string[]) {
    const options = ["--credentials", folder, "--without-state"];
    const command = ["npm", "run", "--silent", "cluster", "--", ...args, ...options];
    return start([...network.inside, ...command], { cwd: PROJECT }).ended;
  }

  story({
    "one line has the reason of each control plane machine that does not answer": async () => {
      expect(await cluster("snapshot", "--out", join(scratch, "a.db"))).toEqual({
        status: 2,
        output: `cluster: no member of etcd answers: ${NO_SCRIPT}; ${NO_HOST}\n`,
      });
      expect(await cluster("remove", WORKER)).toEqual({
        status: 2,
        output: `cluster: no API server is ready: ${NO_SCRIPT}; ${NO_HOST}\n`,
      });
      expect(await cluster("remove", "master-1")).toEqual({
        status: 2,
        output: `${NO_HOST}: its member of etcd is removed on another machine\ncluster: the member of master-1 cannot be removed: ${NO_SCRIPT}; ${NO_HOST}\n`,
      });
    },

    "a machine that refuses the login is not taken for one that is gone": async () => {
      await hosts.get(WORKER)?.stop();
      network.wipe(WORKER);
      await begin(WORKER);
      expect(await cluster("remove", WORKER)).toEqual({
        status: 1,
        output: `cluster: worker-0: Host key verification failed. (if the machine was replaced, run: ssh-keygen -R 198.51.100.20 -f '${folder}/ssh/known_hosts')\n`,
      });
    },

    "a machine on which sudo needs a password is reported": async () => {
      const { status } = await typeOn(
        { network, computed, scratch },
        MASTER,
        "sudo rm /etc/sudoers.d/90-cloud-init-users",
      );
      expect(status).toBe(0);
      expect(await cluster("snapshot", "--out", join(scratch, "a.db"))).toEqual({
        status: 2,
        output: `cluster: no member of etcd answers: master-0: sudo: a password is required; ${NO_HOST}\n`,
      });
    },
  });
});

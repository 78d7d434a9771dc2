import { describeSuite } from "../../cloud/requirements";
import { resourcesOf } from "../../cloud/terraform-json";
import { FileDistribution, type FileToDistribute } from "../../constructs/index";
import { someMachines } from "../../testing/parts";
import { SshNetwork } from "../../testing/ssh-hosts";
import { synthesizeConstructs } from "../../testing/synthesize";
import { TerraformFolder } from "../../testing/terraform";
import { toTerraformData } from "../../testing/terraform-data";
import { issueTls } from "../../testing/tls-resources";

const ADDRESS = "198.51.100.20";

/** A text with all characters that Terraform, JSON or a shell could change. */
const CONFIG = `name: "é $HOME" \\d $\{a} %{b} $$\{c} '\t\ufeff\u2028\r%\r\n`;

const FILES: readonly FileToDistribute[] = [
  { path: "/etc/etcd/config", content: CONFIG, mode: "0600", owner: "root", version: "1" },
  { path: "/etc/etcd/made/deep/key", content: "key", mode: "0600", owner: "stranger", version: "1" },
  { path: "/home/ubuntu/tool", content: "#!/bin/sh\necho tool\n", mode: "0755", owner: "ubuntu", version: "1" },
];

describeSuite("files on machines", () => {
  test("makes folders and distributes files of root, of ubuntu and of another user, then runs the commands as root, then those of a second set, and refuses a folder of another user", async () => {
    const json = synthesizeConstructs((scope) => {
      const { sshKey, nodes } = someMachines(scope, 1);
      const [node] = nodes;
      if (node === undefined) throw new Error("no machine");
      const first = new FileDistribution(scope, "files", {
        node,
        sshKey,
        files: FILES,
        folders: ["/etc/etcd/made/deep"],
        activate: [
          "cd /etc/etcd",
          "stat -c '%U %G %a %n' config made made/deep made/deep/key /home/ubuntu/tool >/home/ubuntu/log",
          "cat /etc/etcd/config >>/home/ubuntu/log",
          "install -d -o stranger /etc/etcd/foreign",
        ],
      });
      const second = new FileDistribution(scope, "more", {
        node,
        sshKey,
        files: [{ path: "/home/ubuntu/second", content: "second", mode: "0644", owner: "ubuntu" }],
        activate: ["id -un >>/home/ubuntu/log", "cat /home/ubuntu/second >>/home/ubuntu/log"],
        dependsOn: [first.completed],
      });
      new FileDistribution(scope, "refused", {
        node,
        sshKey,
        files: [{ path: "/etc/etcd/foreign/key", content: "secret", mode: "0600", owner: "root" }],
        dependsOn: [second.completed],
      });
    });
    const [instance] = Object.keys(resourcesOf(json, "aws_instance"));
    const computed = await issueTls(json, { [`aws_instance.${instance}`]: { id: "i-1", public_ip: ADDRESS } });
    const [key] = Object.entries(computed).flatMap(([address, { public_key_openssh }]) =>
      address.includes("ssh-key") && public_key_openssh !== undefined ? [public_key_openssh] : [],
    );
    const network = await SshNetwork.open();
    const terraform = new TerraformFolder(network.inside);
    try {
      const host = await network.start({ name: "worker-0", addresses: [ADDRESS], authorizedKey: key as string });
      terraform.configure(toTerraformData(json, computed));
      await terraform.run("init", "-no-color");
      const { status, output } = await terraform.start("apply", "-auto-approve", "-no-color").ended;
      expect(status).toBe(1);
      expect(output).toContain(
        "the folder of /etc/etcd/foreign/key must belong to root or ubuntu, and no other user may write to it or to a folder above it, got: drwxr-xr-x stranger root foreign",
      );

      expect(host.read("log")).toBe(
        [
          "root root 600 config",
          "root root 755 made",
          "root root 755 made/deep",
          "stranger stranger 600 made/deep/key",
          "ubuntu ubuntu 755 /home/ubuntu/tool",
          `${CONFIG}root`,
          "second",
        ].join("\n"),
      );
      expect(host.read("tool")).toBe("#!/bin/sh\necho tool\n");
      expect(Object.keys(host.files())).toEqual(["log", "second", "tool"]);
      expect(host.sessions).toBe(9);
      await host.stop();
    } finally {
      network.close();
      terraform.remove();
    }
  });
});

import { execFileSync } from "node:child_process";
import type { Machine } from "../cloud/machine/machine";
import { Host } from "./host";

/** The size of the disk that {@link MachineHost.fillDisk} fills, in MiB. */
const DISK_SIZE = 16;

/** A machine of the emulated cloud, as tests see it. */
export class MachineHost extends Host {
  readonly ubuntu = 1000;

  constructor(private readonly machine: Machine) {
    super();
  }

  get home(): string {
    return this.machine.path("/home/ubuntu");
  }

  get sessions(): number {
    return (
      this.root("journalctl", "--boot", "--unit=ssh", "--output=cat", "--no-pager")
        .toString()
        .split("Accepted publickey for ubuntu").length - 1
    );
  }

  /** Ends the ssh server: connections are refused. */
  refuse(): void {
    this.root("systemctl", "stop", "ssh.service");
  }

  /** Freezes the machine: connections stay open, and it does not answer. */
  freeze(): void {
    this.machine.freeze();
  }

  /** Puts the home folder on a small disk, and fills it. */
  fillDisk(): void {
    this.root(
      "sh",
      "-ec",
      `
      mount -t tmpfs -o size=${DISK_SIZE}m,mode=0750,uid=${this.ubuntu},gid=${this.ubuntu} tmpfs /mnt
      cp -a /home/ubuntu/. /mnt
      dd if=/dev/zero of=/mnt/filler bs=1M 2>&1 || :
      mount --bind /mnt /home/ubuntu
      umount /mnt`,
    );
  }

  /** Deletes the file that {@link fillDisk} wrote. */
  clearDisk(): void {
    this.root("rm", "/home/ubuntu/filler");
  }

  /** Runs a program as root. */
  private root(...command: readonly string[]): Buffer {
    const [program, ...args] = this.machine.run(command) as [string, ...string[]];
    return execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  }
}

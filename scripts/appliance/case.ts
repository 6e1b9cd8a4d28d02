/** What a case of image/test gets, and how it says what it saw. */
import type { Vm } from './vm.ts';

export interface CaseContext {
  /** Folder for everything that the case makes; removed when it went well. */
  readonly work: string;
  /** Disk image as built, and the folder with bundle and keys beside it. */
  readonly disk: string;
  readonly built: string;
  /** How often the plug is pulled. */
  readonly cuts: number;
  /** After so many of these it starts again. */
  readonly starts: number;
  /** A line of the transcript, with the time since the case began. */
  say(text: string): void;
  /** As `say`; the case fails unless `holds`. */
  check(holds: boolean, text: string): void;
}

export interface Case {
  readonly name: string;
  readonly help: string;
  /** It starts no machine: it runs where nothing was built, and beside others. */
  readonly withoutImage?: boolean;
  run(context: CaseContext): Promise<void>;
}

/** Systemd's own words on how long the start took. */
export async function startTime(vm: Vm): Promise<string> {
  await vm.run('systemctl is-system-running --wait', 1_800_000);
  return (await vm.must('systemd-analyze time')).split('\n')[0]!;
}

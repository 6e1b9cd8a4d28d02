/** What is slow to ask and slow to change: drives, controllers, service processors, certificates, versions; and what keeps the clock. All of it in programs of their own. */
import { X509Certificate } from 'node:crypto';
import { parseChronyTracking, parseTimedatectl, type ClockState } from '#core/health/linux/clock.ts';
import { parseIpmiSdr, parseSsacli, parseStorcli } from '#core/health/linux/controllers.ts';
import { parseSmart, parseSmartScan, type Smart } from '#core/health/linux/smart.ts';
import { measureCertificate } from '#core/health/measure/certificates.ts';
import { measureIpmi } from '#core/health/measure/hardware.ts';
import { measureController, measureDrives } from '#core/health/measure/storage.ts';
import { Gathering, type Measured } from '#core/health/model.ts';
import type { Clock } from '#kit/clock.ts';
import { findTool, runTool } from './run-tool.ts';
import type { Sysroot } from './sysroot.ts';

/** Answers that root has put there (viewlink-drives.timer): we may not ask drives, controllers and fans ourselves. */
const LEFT_DIRECTORY = '/run/viewlink-drives';
/** In another root the answers of programs stand in files of this directory, by their name. */
const ANSWERS_DIRECTORY = '/answers';
const MAX_DRIVES = 64;
const MAX_CERTIFICATES = 128;

export interface InventoryOptions {
  readonly sysroot: Sysroot;
  readonly clock: Clock;
  /** Files and directories. */
  readonly certificates: () => readonly string[];
}

export class InventoryCollector {
  readonly #options: InventoryOptions;

  constructor(options: InventoryOptions) {
    this.#options = options;
  }

  async read(): Promise<Measured> {
    const found = new Gathering();
    found.add(measureDrives(await this.#drives()));
    found.add(measureController('storcli', parseStorcli((await this.#answer(['storcli64', 'storcli', 'perccli64', 'perccli'], ['/call/vall', 'show', 'J'])) ?? '')));
    found.add(measureController('ssacli', parseSsacli((await this.#answer(['ssacli', 'hpssacli'], ['ctrl', 'all', 'show', 'config'])) ?? '')));
    found.add(measureIpmi(parseIpmiSdr((await this.#answer(['ipmitool'], ['sdr'])) ?? '')));
    found.add(this.#certificates());
    return found;
  }

  /** Undefined: nothing that keeps the clock is there, or it does not answer. */
  async clockState(): Promise<ClockState | undefined> {
    const tracked = parseChronyTracking((await this.#answer(['chronyc'], ['-c', 'tracking'])) ?? '');
    if (tracked !== undefined) return tracked;
    const shown = await this.#answer(['timedatectl'], ['show']);
    return shown === undefined ? undefined : parseTimedatectl(`${shown}\n${(await this.#answer(['timedatectl'], ['timesync-status'])) ?? ''}`);
  }

  async #answer(names: readonly string[], args: readonly string[]): Promise<string | undefined> {
    const { sysroot } = this.#options;
    const left = names.map(name => sysroot.text(`${LEFT_DIRECTORY}/${name}`)).find(text => text !== undefined);
    if (left !== undefined) return left;
    if (sysroot.root !== '') return sysroot.text(`${ANSWERS_DIRECTORY}/${[names[0], ...args].join(' ').replaceAll('/', '_')}`);
    const path = findTool(...names);
    return path === undefined ? undefined : runTool(path, args);
  }

  async #drives(): Promise<Smart[]> {
    const { sysroot } = this.#options;
    const left = sysroot.list(LEFT_DIRECTORY).filter(name => name.endsWith('.json')).slice(0, MAX_DRIVES);
    if (left.length > 0) return left.flatMap(name => parseSmart(sysroot.text(`${LEFT_DIRECTORY}/${name}`) ?? '') ?? []);
    const drives: Smart[] = [];
    for (const { name, type } of parseSmartScan((await this.#answer(['smartctl'], ['--scan-open', '-j'])) ?? '').slice(0, MAX_DRIVES)) {
      const smart = parseSmart((await this.#answer(['smartctl'], ['-j', '-H', '-A', '-i', '-n', 'standby', ...(type === null ? [] : ['-d', type]), name])) ?? '');
      if (smart !== undefined) drives.push(smart);
    }
    return drives;
  }

  #certificates(): Measured {
    const found = new Gathering();
    const { sysroot, clock, certificates } = this.#options;
    const files = certificates().flatMap(path => (/\.(pem|crt|cer)$/.test(path) ? [path] : sysroot.list(path).filter(name => /\.(pem|crt|cer)$/.test(name)).map(name => `${path}/${name}`)));
    for (const path of files.slice(0, MAX_CERTIFICATES)) {
      const bytes = sysroot.bytes(path);
      if (bytes === undefined || !bytes.includes('-----BEGIN CERTIFICATE-----')) continue;
      found.add(measureCertificate(path, expiryOf(bytes), clock.wall()));
    }
    return found;
  }
}

/** Wall milliseconds; null: it cannot be read. */
function expiryOf(bytes: Buffer): number | null {
  try {
    return new X509Certificate(bytes).validToDate.getTime();
  } catch {
    return null;
  }
}

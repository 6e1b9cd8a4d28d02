/**
 * The room around virtual machines: a switch on which this process is the rest of the world, and a cable between the machines of a
 * pair. All of it in the network namespace of this process (`enterWorld`), so that nothing of it meets the host.
 */
import { WORLD } from '../lab/pair.ts';
import { run } from './vm.ts';

/** Cameras, platforms and witness live here. */
export const HOST = WORLD;
export const PREFIX = 24;
/** Of a machine by its number. */
export const addressOf = (index: number): string => `10.97.0.${index + 1}`;
export const linkAddressOf = (index: number): string => `10.98.0.${index + 1}`;
const CABLE = 'cable';

export class Site implements Disposable {
  readonly #taps: string[] = [];
  readonly #hasCable: boolean;

  /** Machines with one network card at the switch; `cable`: with a second one toward each other. */
  constructor(machines: number, { cable = false } = {}) {
    this.#hasCable = cable;
    if (cable) {
      ip('link', 'add', CABLE, 'type', 'bridge');
      ip('link', 'set', CABLE, 'up');
    }
    for (let index = 0; index < machines; index++) {
      this.#tap(`tap${index}`, 'switch');
      if (cable) this.#tap(`link${index}`, CABLE);
    }
  }

  /** Arguments of QEMU for the network cards of a machine; the one at the switch is the first, and with `single` the only one. */
  plug(index: number, single = false): readonly string[] {
    return [...card(`tap${index}`, 'lan', `52:54:00:09:00:0${index}`), ...(this.#hasCable && !single ? card(`link${index}`, 'link', `52:54:00:09:01:0${index}`) : [])];
  }

  #tap(name: string, bridge: string): void {
    ip('tuntap', 'add', name, 'mode', 'tap');
    this.#taps.push(name);
    ip('link', 'set', name, 'master', bridge, 'up');
  }

  [Symbol.dispose](): void {
    for (const name of this.#taps.splice(0)) ip('link', 'del', name);
    if (this.#hasCable) ip('link', 'del', CABLE);
  }
}

const ip = (...words: readonly string[]): void => run('ip', words);

const card = (tap: string, id: string, mac: string): readonly string[] => ['-netdev', `tap,id=${id},ifname=${tap},script=no,downscript=no`, '-device', `virtio-net-pci,netdev=${id},mac=${mac}`];

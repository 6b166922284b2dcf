//go:build linux

package natlab

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	xdp "github.com/cilium/ebpf/link"
)

// Express lets an end's device receive what a program at the other end sends back by XDP, as any network card does:
// veth wakes its reader for such packets only if a program is attached there too. This program lets everything pass.
func (e *End) Express(t testing.TB) {
	t.Helper()
	const pass = 2 // XDP_PASS of linux/bpf.h
	err := e.ns.do(func() error {
		device, err := net.InterfaceByName(e.Device)
		if err != nil {
			return err
		}
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.XDP, Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()},
		})
		if err != nil {
			return err
		}
		t.Cleanup(func() { program.Close() })

		attached, err := xdp.AttachXDP(xdp.XDPOptions{
			Program:   program,
			Interface: device.Index,
			Flags:     xdp.XDPDriverMode,
		})
		if err != nil {
			return err
		}
		t.Cleanup(func() { attached.Close() })

		return nil
	})
	if err != nil {
		t.Fatalf("natlab: attach an XDP program to %s: %v", e.Device, err)
	}
}

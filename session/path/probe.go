package path

import (
	"context"
	"time"

	"github.com/peephole-cam/peephole/nat"
	"github.com/peephole-cam/peephole/session/turnclient"
)

// ProbeWait is how long it may take to find and ask a relay's STUN server.
const ProbeWait = 5 * time.Second

// probe asks two ports of the relay, from one socket, how the NAT in front of this machine maps it. answered reports
// whether UDP gets out and back.
func probe(ctx context.Context, urls []string) (mapping nat.Mapping, answered bool) {
	ctx, cancel := context.WithTimeout(ctx, ProbeWait)
	defer cancel()
	servers := turnclient.STUNServers(ctx, urls)
	if len(servers) == 0 {
		return nat.UnknownMapping, false
	}

	s, err := nat.Listen("udp4")
	if err != nil {
		return nat.UnknownMapping, false
	}
	defer s.Close()
	mapping, answers := s.Mapping(ctx, nat.Here(), servers)
	return mapping, len(answers) > 0
}

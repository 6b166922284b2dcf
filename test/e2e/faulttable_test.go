package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peephole-cam/peephole/test/evilcloud"
)

// The sentences that people read (doc/protocol.md, section 9), as package viewer has them.
const (
	saysRejected = "The relay delivered something that is not from your camera; nothing was shown."
	saysNoAnswer = "your camera did not answer: it may be off or without internet"
	saysLost     = "the connection to the camera was lost"
	saysEnded    = "the camera ended the session: closed"
	// for a camera whose packets are not acknowledged
	saysTooSlow    = "the network is too slow for this camera's stream: N kbit/s wanted: choose the camera's substream"
	saysBusyCamera = "the camera's computer is too busy to send every picture: let it do less, or choose the " +
		"camera's substream"
	saysBusyViewer = "the viewing device is too busy to keep up: close other programs there"
	saysNoWay      = "no way to the camera was found: run viewer doctor at both ends"
	saysStalled    = "nothing arrives from the camera"
	saysSilent     = "the relay does not answer"
	saysRelayLost  = "the relay went away before the camera was reached"
	saysMalformed  = "ask for ice servers: malformed signaling frame"
	saysUnsigned   = "signature does not verify: is this relay known by another URL? (401)"
	saysNotOpen    = "mailbox is not open for writing on this connection (403)"

	saysUnreached = "cannot reach the relay at HOST: "
	saysHeldBack  = saysUnreached + "it accepts the connection and then sends nothing: the relay hangs, or a proxy " +
		"on the way buffers what it sends; turn that buffering off"

	// The relay's own words follow these.
	asking  = "ask for ice servers: relay: "
	sending = "send offer: send message: relay: "
)

func withDelivery(d evilcloud.Delivery) func(*testing.T, *evilcloud.Cloud) {
	return func(_ *testing.T, c *evilcloud.Cloud) { c.SetDelivery(d) }
}

func withFrames(f evilcloud.Frames) func(*testing.T, *evilcloud.Cloud) {
	return func(_ *testing.T, c *evilcloud.Cloud) { c.SetFrames(f); c.HangUp() }
}

func withGrants(g evilcloud.Grants) func(*testing.T, *evilcloud.Cloud) {
	return func(_ *testing.T, c *evilcloud.Cloud) { c.SetGrants(g) }
}

func withTraffic(f evilcloud.Traffic) func(*testing.T, *evilcloud.Cloud) {
	return func(_ *testing.T, c *evilcloud.Cloud) { c.SetTraffic(f) }
}

func crossed(n evilcloud.Counts) int64   { return n.Crossed }
func changed(n evilcloud.Counts) int64   { return n.Changed }
func late(n evilcloud.Counts) int64      { return n.Late }
func frames(n evilcloud.Counts) int64    { return n.Frames }
func grants(n evilcloud.Counts) int64    { return n.Grants }
func misrouted(n evilcloud.Counts) int64 { return n.Misrouted }

func deliveryFaults() []fault {
	rejected, nothing := []string{saysRejected}, []string{saysNoAnswer}
	return []fault{
		{
			name:  "every message to another mailbox",
			begin: withDelivery(evilcloud.CrossAll),
			acted: crossed,
			told:  nothing,
			may:   rejected,
		},
		{
			name:  "answers to another session",
			begin: withDelivery(evilcloud.CrossAnswers),
			acted: crossed,
			told:  rejected,
		},
		{
			name:  "every message to another region",
			nodes: 2,
			begin: withDelivery(evilcloud.CrossNodes),
			acted: crossed,
			told:  nothing,
			may:   rejected,
		},
		{name: "every message twice", begin: withDelivery(evilcloud.Twice), acted: func(n evilcloud.Counts) int64 {
			return n.Repeated
		}, plays: always},
		{
			name:  "every message late",
			begin: withDelivery(evilcloud.Late(2 * time.Second)),
			acted: late,
			plays: always,
			may:   rejected,
		},
		{
			name:  "messages in another order",
			begin: withDelivery(evilcloud.Reordered()),
			acted: late,
			plays: always,
			may:   rejected,
		},
		{
			name:  "messages truncated",
			begin: withDelivery(evilcloud.Truncated),
			acted: changed,
			told:  nothing,
			may:   rejected,
		},
		{
			name:  "a bit of every message flipped",
			begin: withDelivery(evilcloud.Flipped),
			acted: changed,
			told:  nothing,
			may:   rejected,
		},
		{
			name: "old messages before new ones",
			begin: func(_ *testing.T, c *evilcloud.Cloud) {
				c.SetDelivery(c.Replayed())
			},
			acted: changed,
			plays: always,
			told:  rejected,
		},
	}
}

func frameFaults() []fault {
	day := &evilcloud.AnotherDay{}
	rejected, nothing := []string{saysRejected}, []string{saysNoAnswer}
	return []fault{
		{
			name:  "every message reflected to its sender",
			begin: withFrames(evilcloud.Reflected),
			acted: frames,
			plays: always,
			told:  rejected,
		},
		{
			name:   "another day's messages, and another date",
			record: func(c *evilcloud.Cloud) { c.SetFrames(day.Frames) },
			begin:  func(_ *testing.T, c *evilcloud.Cloud) { day.Ripen(); c.HangUp() },
			acted:  frames,
			plays:  always,
			told:   rejected,
		},
		{
			name:  "sessions of clients swapped",
			ends:  true,
			begin: withFrames(evilcloud.SwapSessions),
			acted: frames,
			plays: sometimes,
			may: slices.Concat(
				[]string{saysRejected, saysSilent, asking + saysUnsigned, sending + saysUnsigned,
					asking + saysNotOpen, sending + saysNotOpen},
				whereverItHappens(saysNoProtocol),
				whereverItHappens(saysHeldBack), // another client gets the relay's first frame
			),
		},
		{
			name:  "requests of clients swapped",
			ends:  true,
			begin: withFrames(evilcloud.SwapRequests),
			acted: frames,
			plays: sometimes,
			may: []string{saysRejected, saysSilent, saysMalformed, asking + saysUnsigned, sending + saysUnsigned,
				asking + saysNotOpen, sending + saysNotOpen},
		},
		{name: "grants from a cache", begin: withFrames(evilcloud.CachedGrants), acted: frames, plays: always},
		{name: "answers from a cache", begin: withFrames(evilcloud.CachedAnswers), acted: frames, told: nothing},
		{name: "deliveries from a cache", begin: withFrames(evilcloud.CachedDeliveries), acted: frames, told: rejected},
	}
}

// whereverItHappens returns what people read of a relay that cannot be reached: while connecting, or during a request.
func whereverItHappens(unreached string) []string {
	return []string{unreached, "ask for ice servers: " + unreached, "send offer: send message: " + unreached,
		"send offer: send on all carriers: " + unreached}
}

// saysNoProtocol is what a client says that gets another client's frames before its own challenge.
const saysNoProtocol = "cannot reach the relay at HOST: it does not speak this protocol: is it a Peephole relay?"

// rewriting returns the rows for rewritten fields: every field there is, and its effect.
func rewriting(t *testing.T) (rows []fault) {
	wrong := map[string][]string{ // what people read; empty: the right picture continues
		"open.id": {saysMalformed}, "open.access": {sending + saysUnsigned, asking + saysUnsigned},
		"open.read key":  {sending + saysUnsigned, asking + saysUnsigned},
		"open.write key": {sending + saysUnsigned, asking + saysUnsigned},
		"open.signature": {sending + saysUnsigned, asking + saysUnsigned}, "open.ticket": nil,
		"post.id": nil, "post.name": {sending + saysNotOpen}, "post.ttl": nil, "post.body": {saysNoAnswer},
		"ack.name": nil, "ack.seq": nil,
		"grant.id": {saysSilent}, "grant.name": {asking + saysNotOpen}, "grant.region": nil, "close.name": nil,
		"reject.name": {saysRejected}, "reject.seq": {saysRejected},
		"challenge.nonce": {sending + saysUnsigned, asking + saysUnsigned}, "challenge.time": nil,
		"ok.id":        {saysMalformed},
		"deliver.name": {saysNoAnswer}, "deliver.seq": nil, "deliver.body": {saysNoAnswer},
		"granted.id": {saysSilent}, "granted.json": {saysMalformed}, "granted.urls": nil, "granted.ttl": nil,
		"granted.viewer": nil, "granted.camera": nil,
		"refused.code 404": {saysNoAnswer}, "refused.id": {asking + lieOf(429)},
	}

	for _, code := range []int{400, 401, 403, 413, 429, 503, 999} {
		wrong[fmt.Sprintf("refused.code %d", code)] = []string{sending + lieOf(code)}
	}
	for _, r := range evilcloud.Fields() {
		if strings.HasPrefix(r.Name, "revoke.") || strings.HasPrefix(r.Name, "closed.") {
			continue // nobody sends these while a camera is watched
		}
		told, known := wrong[r.Name]
		if !known {
			t.Errorf("the table has no row for a rewritten %s", r.Name)
		}

		row := fault{
			name:  "signaling rewrites " + r.Name,
			begin: withFrames(r.Frames),
			acted: frames,
			told:  told,
			may:   []string{saysRejected, sending + lieOf(429), sending + lieOf(404)},
		}

		// The other mailbox may be this household's own; and an answer may arrive before the message that its offer was
		// refused.
		if len(told) > 0 && (strings.HasSuffix(r.Name, ".name") || strings.HasPrefix(r.Name, "refused.")) {
			row.plays, row.may, row.told = sometimes, append(row.may, told...), nil
		}

		if len(told) == 0 {
			row.plays, row.may = always, []string{saysSilent}
		}
		if r.Name == "reject.name" || r.Name == "reject.seq" { // somebody must have something to reject
			row.begin = func(t *testing.T, c *evilcloud.Cloud) {
				c.SetDelivery(evilcloud.CrossAnswers)
				withFrames(r.Frames)(t, c)
			}
		}
		rows = append(rows, row)
	}

	return rows
}

// lieOf returns what a person reads of evilcloud.Lie: nothing that plays tricks with a terminal.
func lieOf(code int) string {
	return fmt.Sprintf("?[2Jyour neighbour's camera is now yours? (%d)", code)
}

func grantFaults() []fault {
	broken := []string{saysLost, saysNoWay, saysStalled}
	return []fault{
		{
			name:    "TURN credentials of another session",
			relayed: true,
			begin:   withGrants(evilcloud.SwapCredentials),
			acted:   grants,
			may:     broken,
		},
		{
			name:    "ICE servers of another region",
			relayed: true,
			nodes:   2,
			begin:   withGrants(evilcloud.SwapServers),
			acted:   grants,
			may:     broken,
		},
		{
			name:    "one grant for all",
			relayed: true,
			begin:   withGrants(evilcloud.ShareGrants),
			acted:   grants,
			plays:   always,
		},
	}
}

func packetFaults() []fault {
	broken := []string{saysLost, saysNoWay, saysStalled, saysTooSlow}
	return []fault{
		{
			name:    "media to another household",
			relayed: true,
			goes:    true,
			begin:   withTraffic(evilcloud.CrossMedia),
			acted:   misrouted,
			plays:   sometimes,
			told:    []string{saysRejected},
			may:     broken,
		},
		{
			name:    "media to another household, from the start",
			relayed: true,
			begin:   withTraffic(evilcloud.CrossMedia),
			acted:   misrouted,
			plays:   sometimes,
			may:     append(broken, saysRejected),
		},
		{
			name:    "TURN's answers to another client",
			relayed: true,
			begin:   withTraffic(evilcloud.CrossReplies),
			acted:   misrouted,
			may:     broken,
		},
	}
}

func stateFaults() []fault {
	restart := func(t *testing.T, c *evilcloud.Cloud) {
		if err := c.Restart(t.Context(), 300*time.Millisecond); err != nil {
			t.Errorf("restart: %v", err)
		}
	}
	return []fault{
		{
			name:    "a restart that loses everything",
			relayed: true,
			goes:    true,
			begin:   restart,
			acted: func(n evilcloud.Counts) int64 {
				return n.Packets
			},
			plays: sometimes,
			// which of them, depends on whether another session has begun when the old one is given up
			either: []string{saysStalled, saysLost},
		},
		{
			name:    "a restart, and answers to another session",
			relayed: true,
			begin: func(t *testing.T, c *evilcloud.Cloud) {
				c.SetDelivery(evilcloud.CrossAnswers)
				restart(t, c)
			},
			acted: crossed,
			told:  []string{saysRejected},
		},
	}
}

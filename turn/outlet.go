package turn

// outlet takes the packets that pass the gate and sends them on flush: in order for each client, as many at a time as
// it can. Each reader of clients has its own.
type outlet interface {
	// head lends room for the head of the next message, until flush.
	head() *[dataHeader]byte
	// send takes a message for a client. Its parts must not change until flush.
	send(to *binding, m packet)
	// flush sends what was taken. What the kernel refuses is dropped and counted.
	flush()
}

// packet is one TURN message on its way to a client, in parts.
type packet struct {
	head    []byte // whatever could not be written in front of the body; else empty
	body    []byte
	pad     int // zeros behind the body
	payload int // how much of it is data
}

func (m *packet) size() int { return len(m.head) + len(m.body) + m.pad }

// bundle collects, in an outlet, the packets for one stream.
type bundle struct {
	to       *stream
	messages []packet
}

// maxBundles bounds how many streams are searched for each packet.
const maxBundles = 64

// bundles are the part of every outlet that serves streams.
type bundles struct {
	list []bundle
	used int
}

// collect adds a packet to its stream's bundle.
func (s *bundles) collect(to *stream, m packet) {
	for i := range s.list[:s.used] {
		if s.list[i].to == to {
			s.list[i].messages = append(s.list[i].messages, m)
			return
		}
	}

	if s.used == maxBundles {
		s.flush()
	}
	if s.used == len(s.list) {
		s.list = append(s.list, bundle{})
	}
	b := &s.list[s.used]
	s.used++
	b.to, b.messages = to, append(b.messages[:0], m)
}

// flush hands every bundle to its stream's queue.
func (s *bundles) flush() {
	for i := range s.list[:s.used] {
		b := &s.list[i]
		b.to.enqueue(b.messages)
		clear(b.messages)
		b.to = nil
	}
	s.used = 0
}

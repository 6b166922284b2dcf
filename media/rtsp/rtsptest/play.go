package rtsptest

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"
)

// Packet is an RTP packet to send.
type Packet struct {
	Number    uint16
	Timestamp uint32
	Marker    bool
	SSRC      uint32
	Payload   []byte
}

func (p Packet) append(b []byte) []byte {
	second := byte(96)
	if p.Marker {
		second |= 0x80
	}
	b = append(b, 2<<6, second)
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint32(b, p.Timestamp)
	b = binary.BigEndian.AppendUint32(b, p.SSRC)

	return append(b, p.Payload...)
}

// play sends the access units, one after the other.
func (s *client) play() {
	o := s.options
	if !s.sleep(o.Delay) {
		return
	}
	begin := time.Now()
	fps := o.FPS
	if fps == 0 {
		fps = 15
	}

	for n := 0; len(o.Units) > 0; n++ {
		at := o.Start + n
		if o.Once && at >= len(o.Units) {
			<-s.done
			return
		}
		if !s.send(n, o.Units[at%len(o.Units)], uint32(float64(n)*90000/fps)) {
			return
		}
		if o.FPS > 0 && !s.sleep(time.Until(begin.Add(time.Duration(float64(n+1)*float64(time.Second)/fps)))) {
			return
		}
	}
	<-s.done
}

func (s *client) sleep(d time.Duration) bool {
	select {
	case <-s.done:
		return false
	case <-time.After(max(d, 0)):
		return true
	}
}

// send sends one access unit.
func (s *client) send(n int, unit [][]byte, timestamp uint32) bool {
	s.mu.Lock()
	expired := s.options.Timeout > 0 && time.Since(s.heard) > time.Duration(s.options.Timeout)*time.Second
	s.mu.Unlock()
	if expired {
		s.stop()
		return false
	}

	var packets []Packet
	payloads := s.options.Pack(s.options.Codec, unit, s.options.MTU)
	for i, payload := range payloads {
		packets = append(packets, Packet{
			Number:    s.number,
			Timestamp: timestamp,
			Marker:    i == len(payloads)-1,
			SSRC:      42,
			Payload:   payload,
		})
		s.number++
	}

	if s.options.Mutate != nil {
		packets = s.options.Mutate(n, packets)
	}
	for _, p := range packets {
		if err := s.sendPacket(p); err != nil {
			return false
		}
	}

	return true
}

func (s *client) sendPacket(p Packet) error {
	if s.tcp {
		b := p.append(make([]byte, 4))
		b[0] = '$'
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
		return s.write(b)
	}

	if s.options.MuteUDP {
		return nil
	}
	_, err := s.udp[0].WriteToUDP(p.append(nil), s.to[0])
	return err
}

// description returns the session description.
func (o Options) description() string {
	if o.SDP != "" {
		return o.SDP
	}
	fmtp := o.Fmtp
	if fmtp == "" {
		fmtp = "packetization-mode=1"
	}

	fmtp = strings.ReplaceAll(fmtp, "sprop", "sprop-parameter-sets="+o.Sprop())
	return "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n" + o.Media +
		fmt.Sprintf("m=video 0 RTP/AVP 96\r\na=rtpmap:96 %s/90000\r\na=fmtp:96 %s\r\na=control:trackID=0\r\n", o.Codec,
			fmtp)
}

// Sprop returns the value of sprop-parameter-sets: the H.264 parameter sets of the first unit, in base64.
func (o Options) Sprop() string {
	var sets []string
	for _, nal := range o.Units[0] {
		if t := nal[0] & 0x1f; t == 7 || t == 8 {
			sets = append(sets, base64.StdEncoding.EncodeToString(nal))
		}
	}
	return strings.Join(sets, ",")
}

func readFull(r *bufio.Reader, b []byte) (int, error) { return io.ReadFull(r, b) }

package rtsp

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// maxTracks is how many media descriptions are read at most.
const maxTracks = 32

// description is what a session description says about the track to read.
type description struct {
	control   string // the control attribute of the session; "" if it has none
	track     string // the control attribute of the track
	codec     string // RTP's encoding name, in capitals
	payload   uint8
	alone     bool // the track has no other payload type
	clockRate uint32
	sets      [][]byte // parameter sets: NAL units without start codes
	don       bool     // the stream contains decoding order numbers (H.265, sprop-max-don-diff)
}

// parseDescription finds the video track with the most preferred of codecs. The error is ErrDescription, ErrNoVideo, or
// a *CodecError with the codec of another track.
func parseDescription(body []byte, codecs []string) (description, error) {
	session, err := unmarshalSDP(body)
	if err != nil {
		return description{}, err
	}

	var found []description
	for _, m := range session.MediaDescriptions[:min(len(session.MediaDescriptions), maxTracks)] {
		if m.MediaName.Media == "video" {
			found = append(found, tracks(m)...)
		}
	}

	if len(found) == 0 {
		return description{}, fmt.Errorf("read session description: %w", ErrNoVideo)
	}
	for _, codec := range codecs {
		for _, d := range found {
			if d.codec == codec {
				d.control, _ = session.Attribute("control")
				return d, nil
			}
		}
	}

	return description{}, fmt.Errorf("read session description: %w", &CodecError{found[0].codec})
}

// unmarshalSDP reads the lines of a session description that describe tracks. Cameras leave out, misspell and misplace
// the other lines (RFC 8866, section 5), which a strict parser would refuse.
func unmarshalSDP(body []byte) (*sdp.SessionDescription, error) {
	text := "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
	ends := func(r rune) bool { return r == '\r' || r == '\n' || r == 0 }
	known := false
	for _, line := range strings.FieldsFunc(string(body), ends) {
		line = strings.TrimSpace(line)
		known = known || strings.HasPrefix(line, "v=") || strings.HasPrefix(line, "m=")
		switch {
		case strings.HasPrefix(line, "m="):
			text += mediaLine(line) + "\r\n"
		case strings.HasPrefix(line, "a="):
			text += line + "\r\n"
		}
	}

	var session sdp.SessionDescription
	if err := session.UnmarshalString(text); err != nil || !known {
		return nil, fmt.Errorf("read session description: %w", ErrDescription)
	}
	return &session, nil
}

// mediaLine reduces the first line of a media description to its formats and whether it is video. Nothing else is
// needed, and a strict parser might refuse it.
func mediaLine(line string) string {
	fields := strings.Fields(strings.TrimPrefix(line, "m="))
	if len(fields) < 4 {
		return "m=application 0 RTP/AVP 0"
	}
	media := "application"
	if strings.EqualFold(fields[0], "video") {
		media = "video"
	}

	return strings.Join(append([]string{"m=" + media, "0", "RTP/AVP"}, fields[3:]...), " ")
}

// tracks returns one description for each payload type of a media description.
func tracks(m *sdp.MediaDescription) (found []description) {
	control, _ := m.Attribute("control")
	for _, format := range m.MediaName.Formats {
		payload, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		d := description{
			track:     control,
			payload:   uint8(payload),
			alone:     len(m.MediaName.Formats) == 1,
			clockRate: 90000,
		}

		d.codec = map[string]string{"26": "JPEG", "31": "H261", "32": "MPV", "34": "H263"}[format] // RFC 3551, table 5
		fmtp := ""
		for _, a := range m.Attributes {
			about, value, _ := strings.Cut(strings.TrimSpace(a.Value), " ")
			switch {
			case about != format:
			case a.Key == "rtpmap":
				d.mapping(value)
			case a.Key == "fmtp":
				fmtp = value
			}
		}

		d.parameters(fmtp)
		found = append(found, d)
	}

	return found
}

// mapping reads the value of a=rtpmap, such as H264/90000.
func (d *description) mapping(value string) {
	name, rate, _ := strings.Cut(strings.TrimSpace(value), "/")
	d.codec = strings.ToUpper(printable(name))
	if d.codec == "HEVC" {
		d.codec = "H265"
	}

	rate, _, _ = strings.Cut(rate, "/")
	if hz, err := strconv.ParseUint(rate, 10, 32); err == nil && hz >= 1000 && hz <= 1e7 {
		d.clockRate = uint32(hz)
	}
}

// parameters reads the value of a=fmtp (RFC 6184, section 8.1; RFC 7798, section 7.1).
func (d *description) parameters(value string) {
	for _, p := range strings.Split(value, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		switch name = strings.ToLower(name); name {
		case "packetization-mode":
			if d.codec == "" {
				d.codec = "H264" // some cameras leave a=rtpmap out
			}
		case "sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps":
			if d.codec == "" && name == "sprop-parameter-sets" {
				d.codec = "H264"
			}
			d.sets = append(d.sets, parameterSets(value)...)
		case "sprop-max-don-diff":
			d.don = value != "" && value != "0"
		}
	}

	if d.codec == "" {
		d.codec = "UNKNOWN"
	}
}

// parameterSets reads NAL units in base64, with or without padding, separated by commas. It leaves out invalid ones.
func parameterSets(value string) (sets [][]byte) {
	for _, s := range strings.Split(strings.Trim(value, `"`), ",") {
		nal, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(s), "="))
		nal = trimStartCode(nal)
		if err == nil && len(nal) > 1 && len(sets) < 16 {
			sets = append(sets, slices.Clip(nal))
		}
	}
	return sets
}

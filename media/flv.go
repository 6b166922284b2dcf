package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	// errFLV is returned if ffmpeg's output is not the container that was requested.
	errFLV  = errors.New("not an FLV stream with H.264 video")
	errH265 = errors.New("the camera sends H.265: set its encoder to H.264, or start with -transcode")
)

const (
	flvVideo    = 9 // TagType (Video File Format Specification 10.1, E.4.1)
	flvAVC      = 7 // CodecID
	flvHEVC     = 12
	flvExtended = 0x80
	flvSequence = 0 // AVCPacketType: AVCDecoderConfigurationRecord
	flvNALUs    = 1
)

// flvReader reads access units from the FLV that ffmpeg writes to a pipe. A raw byte stream would not do: in one, an
// access unit is known to be complete only when the next one begins, a frame too late.
type flvReader struct {
	r          *bufio.Reader
	begun      bool
	lengthSize int
	sets       parameterSets // in band and out of band
}

// next returns the next access unit, in Annex B with start codes of four bytes. It inserts the parameter sets that were
// sent out of band into IDR pictures.
func (f *flvReader) next() (parsedUnit, error) {
	if !f.begun {
		head := make([]byte, 9)
		if _, err := io.ReadFull(f.r, head); err != nil {
			return parsedUnit{}, fmt.Errorf("read FLV header: %w", err)
		}
		if string(head[:3]) != "FLV" {
			return parsedUnit{}, fmt.Errorf("read FLV header: %w", errFLV)
		}
		f.begun = true
	}
	for {
		var head [15]byte // PreviousTagSize, then the tag's own header
		if _, err := io.ReadFull(f.r, head[:]); err != nil {
			return parsedUnit{}, fmt.Errorf("read FLV tag: %w", err)
		}
		size := int(binary.BigEndian.Uint32(head[4:]) & 0xffffff)
		if size > MaxAccessUnit {
			return parsedUnit{}, fmt.Errorf("read FLV tag: %w", ErrTooLarge)
		}

		tag := make([]byte, size)
		if _, err := io.ReadFull(f.r, tag); err != nil {
			return parsedUnit{}, fmt.Errorf("read FLV tag: %w", err)
		}
		if head[4] != flvVideo || size < 5 {
			continue
		}
		if err := flvCodec(tag); err != nil {
			return parsedUnit{}, err
		}

		unit, err := f.video(tag[1], tag[5:])
		if unit.data != nil || err != nil {
			return unit, err
		}
	}
}

// flvCodec returns an error for video other than H.264. ffmpeg writes H.265 in one of two ways: with an unofficial
// CodecID, or, since version 6.1, with an extended header (Enhanced RTMP, version 2) that names the codec by four
// letters.
func flvCodec(tag []byte) error {
	id := tag[0] & 0x0f
	extended := tag[0]&flvExtended != 0
	switch {
	case !extended && id == flvAVC:
		return nil
	case extended && (string(tag[1:5]) == "hvc1" || string(tag[1:5]) == "hev1"), !extended && id == flvHEVC:
		return errH265
	case extended:
		return fmt.Errorf("read FLV tag: codec %q: %w", tag[1:5], errFLV)
	}

	return fmt.Errorf("read FLV tag: codec %d: %w", id, errFLV)
}

// video reads the body of a video tag. The access unit is empty if the tag contains something else.
func (f *flvReader) video(kind byte, body []byte) (parsedUnit, error) {
	switch kind {
	case flvSequence:
		return parsedUnit{}, f.configure(body)
	case flvNALUs:
		unit, err := annexB(body, f.lengthSize)
		if err != nil {
			return parsedUnit{}, err
		}
		complete, _ := f.sets.complete(parseUnit(unit), false)
		return complete, nil
	}
	return parsedUnit{}, nil
}

// annexB replaces the lengths before NAL units by start codes.
func annexB(body []byte, lengthSize int) ([]byte, error) {
	unit := make([]byte, 0, len(body)+64)
	for len(body) > 0 {
		nal, rest, err := cutNAL(body, lengthSize)
		if err != nil {
			return nil, err
		}
		unit = append(append(unit, startCode...), nal...)
		body = rest
	}
	return unit, nil
}

// configure reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).
func (f *flvReader) configure(record []byte) (err error) {
	if len(record) < 6 {
		return fmt.Errorf("read configuration: %w", errFLV)
	}
	f.lengthSize = int(record[4]&3) + 1
	count, body := int(record[5]&0x1f), record[6:]
	var sets []byte

	for range 2 { // SPS, then PPS
		for range count {
			var nal []byte
			if nal, body, err = cutNAL(body, 2); err != nil {
				return err
			}
			sets = append(append(sets, startCode...), nal...)
		}
		if count = 0; len(body) > 0 {
			count, body = int(body[0]), body[1:]
		}
	}

	f.sets.complete(parseUnit(sets), false)
	return nil
}

// cutNAL cuts the first NAL unit off body. A length of lengthSize bytes precedes it.
func cutNAL(body []byte, lengthSize int) (nal, rest []byte, err error) {
	if lengthSize == 0 || len(body) < lengthSize {
		return nil, nil, fmt.Errorf("read NAL unit: %w", errFLV)
	}
	size := 0
	for _, b := range body[:lengthSize] {
		size = size<<8 | int(b)
	}

	if body = body[lengthSize:]; size > len(body) {
		return nil, nil, fmt.Errorf("read NAL unit: %w", errFLV)
	}
	return body[:size], body[size:], nil
}

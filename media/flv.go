package media

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errFLV says that ffmpeg's output is not the container it was asked for.
var errFLV = errors.New("not an FLV stream with H.264 video")

const (
	flvVideo    = 9 // TagType (Video File Format Specification 10.1, E.4.1)
	flvAVC      = 7 // CodecID
	flvSequence = 0 // AVCPacketType: AVCDecoderConfigurationRecord
	flvNALUs    = 1
)

// flvReader takes access units out of the FLV that ffmpeg writes to a pipe. A raw byte stream would not do: there,
// an access unit is known to be whole only when the next one begins, a frame too late.
type flvReader struct {
	r          *bufio.Reader
	begun      bool
	lengthSize int
	sets       ParameterSets // those sent out of band, too
}

// next returns the next access unit in Annex B with start codes of four bytes. IDR pictures whose parameter sets came
// out of band have them inserted.
func (f *flvReader) next() ([]byte, error) {
	if !f.begun {
		head := make([]byte, 9)
		if _, err := io.ReadFull(f.r, head); err != nil {
			return nil, fmt.Errorf("read FLV header: %w", err)
		}
		if string(head[:3]) != "FLV" {
			return nil, fmt.Errorf("read FLV header: %w", errFLV)
		}
		f.begun = true
	}
	for {
		var head [15]byte // PreviousTagSize, then the tag's own header
		if _, err := io.ReadFull(f.r, head[:]); err != nil {
			return nil, fmt.Errorf("read FLV tag: %w", err)
		}
		size := int(binary.BigEndian.Uint32(head[4:]) & 0xffffff)
		if size > MaxAccessUnit {
			return nil, fmt.Errorf("read FLV tag: %w", ErrTooLarge)
		}
		tag := make([]byte, size)
		if _, err := io.ReadFull(f.r, tag); err != nil {
			return nil, fmt.Errorf("read FLV tag: %w", err)
		}
		if head[4] != flvVideo || size < 5 {
			continue
		}
		if tag[0]&0x0f != flvAVC {
			return nil, fmt.Errorf("read FLV tag: codec %d: %w", tag[0]&0x0f, errFLV)
		}
		unit, err := f.video(tag[1], tag[5:])
		if unit != nil || err != nil {
			return unit, err
		}
	}
}

func (f *flvReader) video(kind byte, body []byte) (unit []byte, err error) {
	switch kind {
	case flvSequence:
		return nil, f.configure(body)
	case flvNALUs:
		unit = make([]byte, 0, len(body)+64)
		for len(body) > 0 {
			var nal []byte
			if nal, body, err = cutNAL(body, f.lengthSize); err != nil {
				return nil, err
			}
			unit = append(append(unit, startCode...), nal...)
		}
		unit, _ = f.sets.Complete(unit)
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
	f.sets.Complete(sets)
	return nil
}

// cutNAL takes a NAL unit behind a length of lengthSize bytes off body.
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

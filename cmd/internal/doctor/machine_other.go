//go:build !linux

package doctor

func fileLimit() (uint64, bool) { return 0, false }

func kernelNumber(string) (uint64, bool) { return 0, false }

func synchronized() bool { return false }

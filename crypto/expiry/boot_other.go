//go:build !linux

package expiry

func boot() Boot { return sinceStart() }

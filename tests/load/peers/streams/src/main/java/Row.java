import java.nio.ByteBuffer;

/** Plays, views and buffer time of a window as 24 bytes. */
final class Row {
  private Row() { }

  static byte[] empty() {
    return new byte[24];
  }

  static byte[] of(long plays, long views, long bufferMs) {
    return ByteBuffer.allocate(24).putLong(plays).putLong(views).putLong(bufferMs).array();
  }

  static byte[] add(byte[] row, byte[] other) {
    ByteBuffer left = ByteBuffer.wrap(row);
    ByteBuffer right = ByteBuffer.wrap(other);
    return of(left.getLong() + right.getLong(), left.getLong() + right.getLong(), left.getLong() + right.getLong());
  }
}

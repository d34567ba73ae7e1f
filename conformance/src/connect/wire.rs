//! Messages to and from the suite.

use prost::Message;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The next message; `None` at the end.
pub(super) async fn read<M: Message + Default>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<M>> {
    let length = match from.read_u32().await {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = Vec::new();
    from.take(length.into()).read_to_end(&mut message).await?;
    M::decode(&*message).map(Some).map_err(io::Error::other)
}

/// Writes a message at once.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    message: &impl Message,
) -> io::Result<()> {
    let length = u32::try_from(message.encoded_len()).map_err(io::Error::other)?;
    let mut out = length.to_be_bytes().to_vec();
    message.encode(&mut out).map_err(io::Error::other)?;
    to.write_all(&out).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::proto::Header;

    #[tokio::test]
    async fn messages_come_back_until_the_end() {
        let header = Header { name: "a".into(), value: vec!["b".into()] };
        let mut wire = Vec::new();
        write(&mut wire, &header).await.unwrap();
        write(&mut wire, &Header::default()).await.unwrap();
        let mut rest = &*wire;
        assert_eq!(read(&mut rest).await.unwrap(), Some(header));
        assert_eq!(read(&mut rest).await.unwrap(), Some(Header::default()));
        assert_eq!(read::<Header>(&mut rest).await.unwrap(), None);
    }
}
